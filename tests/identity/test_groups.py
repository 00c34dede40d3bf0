"""Groups say, without doubt, which template made them and from which values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostiary.identity.groups import GroupNames, GroupTemplate, UnfitClaim


def groups(claims: dict[str, object], *templates: str, others: tuple[str, ...] = ()) -> set[str]:
    """The groups an issuer with `templates` makes, when another issuer has `others`."""
    parsed = [GroupTemplate.parse(text) for text in templates]
    return set(GroupNames([*parsed, *map(GroupTemplate.parse, others)]).groups(parsed, claims))


@pytest.mark.parametrize(
    ("template", "claims", "expected"),
    [
        ("repo/{repository}", {"repository": "acme/shop"}, {"repo/acme/shop"}),
        ("{groups}", {"groups": ["dev", "sre"]}, {"dev", "sre"}),
        ("{groups}", {"groups": "dev"}, {"dev"}),
        ("corp/{groups}", {"groups": ["dev", "sre"]}, {"corp/dev", "corp/sre"}),
        ("corp/{groups}", {"groups": []}, set()),
        ("r/{repo}/env/{env}", {"repo": "acme/shop", "env": "prod"}, {"r/acme/shop/env/prod"}),
        ("r/{repo}/env/{env}", {"repo": "acme/shop"}, set()),
        ("r/{repo}/env/{env}", {"repo": "acme/shop", "env": ""}, set()),
        ("r/{repo}/env/{env}", {"repo": "acme/shop", "env": None}, set()),
        ("k8s/{/kubernetes.io/namespace}", {"kubernetes.io": {"namespace": "prod"}}, {"k8s/prod"}),
        ("mail/{email}", {"email": "a@b", "email_verified": True}, {"mail/a@b"}),
        ("mail/{email}", {"email": "a@b", "email_verified": False}, set()),
    ],
)
def test_templates_make_groups(template: str, claims: dict[str, object], expected: set[str]) -> None:
    """A claim that is missing, null or empty makes no group at all."""
    assert groups(claims, template) == expected


@pytest.mark.parametrize(
    ("template", "claims"),
    [
        ("r/{repo}/env/{env}", {"repo": "a/env/b", "env": "c"}),
        ("r/{repo}/env/{env}", {"repo": "a/env", "env": "c"}),
        ("r/{repo}:{env}", {"repo": "acme:prod", "env": "c"}),
        ("{team}-admins", {"team": "a-admins"}),
        ("{groups}", {"groups": ["dev", 7]}),
        ("{groups}", {"groups": ["dev", ""]}),
        ("{groups}", {"groups": [["dev"]]}),
        ("{groups}", {"groups": {"dev": 1}}),
        ("{groups}", {"groups": True}),
        ("{groups}", {"groups": "dev\n"}),
        ("{groups}", {"groups": " dev"}),
        ("{groups}", {"groups": "x" * 257}),
        ("{groups}", {"groups": ["x"] * 257}),
        ("{a}/{b}", {"a": ["x"], "b": "y"}),
    ],
)
def test_claims_that_do_not_fit_refuse(template: str, claims: dict[str, object]) -> None:
    """A present claim is used or refused, never dropped: a policy may forbid by that group."""
    with pytest.raises(UnfitClaim):
        groups(claims, template)


@pytest.mark.parametrize(
    ("mine", "claims", "others"),
    [
        (("{groups}", "repo/{repository}"), {"groups": ["repo/acme/shop"]}, ()),
        (("{groups}",), {"groups": ["repo/acme/shop"]}, ("repo/{repository}",)),
        (("repo/{repository}", "repo/env/{env}"), {"repository": "env/prod"}, ()),
        (("repo/{repository}",), {"repository": "acme/shop"}, ("repo/acme/{team}",)),
    ],
)
def test_no_template_imitates_another(
    mine: tuple[str, ...], claims: dict[str, object], others: tuple[str, ...]
) -> None:
    """A name belongs to the template with the longest beginning, of whichever issuer."""
    with pytest.raises(UnfitClaim, match="imitate"):
        groups(claims, *mine, others=others)


def test_the_number_of_groups_is_bounded() -> None:
    """Two lists that fit alone don't fit together."""
    names = [f"g{index}" for index in range(200)]
    with pytest.raises(UnfitClaim, match="more than 256 groups"):
        groups({"a": names, "b": names}, "a/{a}", "b/{b}")


PARTS = st.text("ab/:", min_size=1, max_size=6)


@given(st.sampled_from(["r/{x}/a/{y}", "r/{x}:{y}", "{x}/{y}/", "r/{x}aa{y}a"]), PARTS, PARTS, PARTS, PARTS)
def test_different_claims_never_make_the_same_group(template: str, x1: str, y1: str, x2: str, y2: str) -> None:
    """A group's name can be read back in one way only."""
    made = []
    for x, y in ((x1, y1), (x2, y2)):
        try:
            made.append(groups({"x": x, "y": y}, template))
        except UnfitClaim:
            return
    assert (made[0] == made[1]) == ((x1, y1) == (x2, y2))
