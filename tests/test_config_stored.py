"""What is declared through the API, merged into the file: the same rules, its own names, and no reach into the host."""

from pathlib import Path
from typing import Any

import pytest

from ostiary import config
from ostiary.app.check import problems_of
from ostiary.config.document import Document
from ostiary.core import TlsMode
from ostiary.credentials import EnvSource, StaticCredential
from ostiary.masking import Transform
from ostiary.resources import Key, ResourceKind, StoredResource, checked, within_bounds
from ostiary.runtime.dial import target_context
from tests.real.certificates import Authority
from tests.test_config import GOOD

BASE = GOOD.replace(
    "\nissuers:",
    """
  allow_references:
    - {env: REPORTS_PASSWORD, addresses: "reports.internal:5432"}
issuers:""",
).replace('"reports.internal:5432"', '["reports.internal:5432"]')
BASE += """\
classification:
  - {target: orders, object: public.customers.email, class: pii.email}
masking:
  pii.email: {transform: partial}
approvals:
  dba: {members: [{group: dba}]}
"""
REPORTS: dict[str, Any] = {
    "protocol": "postgres",
    "address": "reports.internal:5432",
    "credential": {"type": "static", "username": "app", "password": {"env": "REPORTS_PASSWORD"}},
}
OIDC = {"type": "oidc", "issuer": "https://c.example", "audience": "x"}
RULE = '@id("reports-read")\npermit (principal, action == Action::"read", resource in Target::"reports");'


def credential(**password: str) -> dict[str, Any]:
    """A static one."""
    return {"type": "static", "username": "app"} | ({"password": password} if password else {})


def stored(kind: str, name: str, document: Any) -> StoredResource:
    """One."""
    return StoredResource(ResourceKind(kind), name, document)


def load(tmp_path: Path, *resources: StoredResource, base: str = BASE) -> config.Settings:
    """The file with these."""
    path = tmp_path / "ostiary.yaml"
    path.write_text(base)
    return config.load(path, resources)


def problems(tmp_path: Path, *resources: StoredResource, base: str = BASE) -> list[str]:
    """What is wrong, without the directory."""
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, *resources, base=base)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_what_is_stored_is_as_if_it_stood_in_the_file(tmp_path: Path) -> None:
    """Every kind, beside what the file says itself."""
    settings = load(
        tmp_path,
        stored("target", "reports", REPORTS),
        stored("issuer", "corp", {"type": "oidc", "issuer": "https://corp.example", "audience": "x"}),
        stored("policy", "reports-read", {"text": RULE}),
        stored("classification", "reports/public.people.phone", {"class": "pii.phone"}),
        stored("masking", "pii.phone", {"transform": "redact"}),
        stored("approval-group", "finance", {"members": [{"group": "finance"}], "timeout": "5m"}),
    )
    assert [target.name for target in settings.targets] == ["orders", "reports"]
    assert settings.credentials["reports"] == StaticCredential("app", EnvSource("REPORTS_PASSWORD"))
    assert [issuer.name for issuer in settings.issuers] == ["github", "corp"]
    assert settings.stored_policies == {"reports-read": RULE}
    masking = settings.masking()
    assert [(each.target, each.object) for each in masking.classification][1] == ("reports", "public.people.phone")
    assert masking.rules["pii.phone"].transform is Transform.REDACT
    assert settings.approvals["finance"].timeout == 300.0
    assert settings.place("targets", 1, "credential") == 'target "reports"'
    assert settings.place("targets", 0) == f"{tmp_path}/ostiary.yaml:13"


def test_the_file_is_known_entry_by_entry(tmp_path: Path) -> None:
    """With its place, and without what is stored."""
    settings = load(tmp_path, stored("masking", "pii.phone", {"transform": "redact"}))
    found = {key: declared.place.removeprefix(f"{tmp_path}/") for key, declared in settings.declared.items()}
    assert found == {
        Key(ResourceKind.ISSUER, "github"): "ostiary.yaml:8",
        Key(ResourceKind.TARGET, "orders"): "ostiary.yaml:13",
        Key(ResourceKind.CLASSIFICATION, "orders/public.customers.email"): "ostiary.yaml:21",
        Key(ResourceKind.MASKING, "pii.email"): "ostiary.yaml:23",
        Key(ResourceKind.APPROVAL_GROUP, "dba"): "ostiary.yaml:25",
    }
    assert settings.declared[Key(ResourceKind.MASKING, "pii.email")].document == {"transform": "partial"}


def test_a_file_may_declare_no_target(tmp_path: Path) -> None:
    """They may all be stored."""
    base = BASE[: BASE.index("targets:")] + "policies: policies/\n"
    assert load(tmp_path, base=base).targets == ()
    assert [each.name for each in load(tmp_path, stored("target", "reports", REPORTS), base=base).targets] == [
        "reports"
    ]


@pytest.mark.parametrize(
    ("kind", "name", "document", "says"),
    [
        ("target", "reports", REPORTS | {"address": "x"}, 'target "reports": address: write an address as'),
        (
            "target",
            "reports",
            {k: v for k, v in REPORTS.items() if k != "address"},
            'target "reports": address is missing',
        ),
        ("target", "reports", REPORTS | {"adress": "x:1"}, "adress: no such setting; did you mean `address`?"),
        ("target", "a/b", REPORTS, "name: write a name of 1 to 63"),
        ("target", "a\nb", REPORTS, "name: write a name of 1 to 63"),
        ("target", "reports", REPORTS | {"name": "other"}, 'target "reports": name: must be "reports"'),
        ("target", "orders", REPORTS, 'target "orders": ostiary.yaml:13 declares it already: remove one of both'),
        ("masking", "pii.email", {"transform": "keep"}, "ostiary.yaml:23 declares it already"),
        ("masking", "x", {"transform": "hash"}, 'masking "x": transform: `hash` needs a key'),
        ("classification", "orders/a.b..c", {"class": "x"}, 'classification "orders/a.b..c": object: '),
        ("classification", "nowhere/a.b", {"class": "x"}, 'target: no target is called "nowhere"'),
        ("classification", "orders/a.b", {"class": "x", "target": "reports"}, 'target: must be "orders"'),
        ("approval-group", "x", {"members": [], "required": 0}, 'approval-group "x": '),
        ("policy", "x", {"text": 1}, 'policy "x": its document is {text: …}'),
        ("issuer", "github", {}, "ostiary.yaml:8 declares it already"),
        (
            "issuer",
            "service-accounts",
            {"type": "oidc", "issuer": "https://c.example", "audience": "x"},
            "names the service accounts",
        ),
        (
            "issuer",
            "twin",
            {"type": "oidc", "issuer": "https://token.example.com", "audience": "x"},
            'issuer "twin": issuer: "github" is the same issuer',
        ),
    ],
)
def test_errors_name_the_resource(tmp_path: Path, kind: str, name: str, document: Any, says: str) -> None:
    """As the file's own errors name their line."""
    (found,) = problems(tmp_path, stored(kind, name, document))
    assert says in found


def test_a_section_that_the_file_does_not_have(tmp_path: Path) -> None:
    """Its entries are named all the same."""
    base = BASE[: BASE.index("masking:")]
    (found,) = problems(tmp_path, stored("masking", "x", {"transform": "spin"}), base=base)
    assert found.startswith('masking "x": transform: must be ')


def test_all_or_nothing(tmp_path: Path) -> None:
    """One bad resource is enough, and hides neither another's problem nor the file's."""
    found = problems(
        tmp_path,
        stored("masking", "fine", {"transform": "keep"}),
        stored("masking", "bad", {"transform": "spin"}),
        stored("approval-group", "bad", {"members": 1}),
        base=BASE.replace("username: app", "username: 1"),
    )
    assert [each.partition(": ")[0] for each in found] == ["ostiary.yaml:18", 'masking "bad"', 'approval-group "bad"']


# ---------------------------------------------------------------- what a caller of the API could reach for


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "evil.example:5432"},
        {"address": "reports.internal:5433"},
        {"credential": credential(env="OTHER")},
        {"credential": credential(file="REPORTS_PASSWORD")},
        {"credential": credential(file="/etc/shadow")},
        {"credential": {"type": "postgres-role", "admin": {"username": "x", "password": {"env": "OTHER"}}}},
    ],
)
def test_secrets_go_where_the_file_lets_them(tmp_path: Path, changed: dict[str, Any]) -> None:
    """A reference that the file does not list, or for another address, would give a secret away."""
    (found,) = problems(tmp_path, stored("target", "reports", REPORTS | changed))
    assert found.startswith('target "reports": credential.')
    assert "this secret may not be sent to this address" in found


def test_a_reference_needs_an_address(tmp_path: Path) -> None:
    """One that could be sent anywhere is none."""
    base = BASE.replace(', addresses: ["reports.internal:5432"]', ", addresses: []")
    assert "allow_references.0.addresses: must not be empty" in problems(tmp_path, base=base)[0]


def test_a_plain_password_is_refused(tmp_path: Path) -> None:
    """As in the file, and not quoted."""
    document = REPORTS | {"credential": {"type": "static", "username": "x", "password": "canary-pw"}}
    (found,) = problems(tmp_path, stored("target", "reports", document))
    assert "a secret never stands in this file" in found
    assert "canary" not in found


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("target", REPORTS | {"tls": {"ca": "/etc/ssl/ca.pem"}}),
        ("target", REPORTS | {"tls": {"cert": "a", "key": "/etc/shadow"}}),
        (
            "issuer",
            {
                "type": "oidc",
                "issuer": "https://c.example",
                "audience": "x",
                "token_file": "/etc/shadow",
                "jwks_uri": "https://c.example/k",
            },
        ),
        ("issuer", OIDC | {"jwks_file": "/etc/shadow"}),
        ("issuer", OIDC | {"ca": "/etc/shadow"}),
        ("issuer", {"type": "spiffe", "trust_domain": "c.example", "audience": "x", "bundle_file": "/etc/shadow"}),
        ("issuer", {"type": "x509", "ca": "/etc/shadow"}),
        (
            "issuer",
            {"type": "saml", "entity_id": "x", "metadata": "/etc/shadow", "audience": "x", "recipient": "https://x"},
        ),
    ],
)
def test_files_of_the_host_are_out_of_reach(tmp_path: Path, kind: str, document: dict[str, Any]) -> None:
    """Whatever names one is the file's alone."""
    found = problems(tmp_path, stored(kind, "reports", document))
    assert found
    assert all("of the gateway's host" in each for each in found)


def test_a_certificate_may_be_given_as_text(tmp_path: Path) -> None:
    """In place of the file's name; what is no certificate is a problem before anything stands on it."""
    pem = Authority("tests").certificate_pem.decode()
    settings = load(tmp_path, stored("target", "reports", REPORTS | {"tls": {"ca": pem}}))
    tls = settings.targets[1].tls
    assert (tls.mode, tls.ca) == (TlsMode.VERIFY_FULL, pem)
    assert len(target_context(tls).get_ca_certs()) == 1
    bad = load(tmp_path, stored("target", "reports", REPORTS | {"tls": {"ca": pem.replace(pem[60:90], "A" * 30)}}))
    assert any('target "reports": tls: not a certificate' in each for each in problems_of(bad))


def test_rules_are_checked_with_those_of_the_files(tmp_path: Path) -> None:
    """Their names, their groups, and that a text is one rule."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.cedar").write_text('@id("mine")\npermit (principal, action, resource);')

    def told(name: str, text: str) -> list[str]:
        found = problems_of(load(tmp_path, stored("policy", name, {"text": text})))
        return [each for each in found if "policy" in each]

    assert told("reports-read", RULE) == []
    assert "taken by" in told("mine", '@id("mine") permit (principal, action, resource);')[0]
    assert "write @id" in told("other", RULE)[0]
    assert "here are 2" in told("reports-read", RULE + RULE)[0]
    assert "here are 0" in told("reports-read", "// nothing")[0]
    assert "no such group" in told("x", '@id("x") @approval("nobody") forbid (principal, action, resource);')[0]
    assert (
        "brackets" in told("x", f'@id("x") permit (principal, action, resource) when {{ {"(" * 99}1{")" * 99} }};')[0]
    )


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    ("name", "document", "says"),
    [
        ("", {}, "its name must be"),
        ("x" * 301, {}, "its name must be"),
        ("a\x1b[31mb", {}, "its name must be"),
        (" x", {}, "its name must be"),
        ("x", {"a": "b" * 65536}, "larger than 65536 bytes"),
        ("x", {"a": float("nan")}, "must be plain JSON"),
        ("x", {"a": Path()}, "must be plain JSON"),
    ],
)
def test_bounds_of_a_resource(name: str, document: dict[str, Any], says: str) -> None:
    """What can't be kept is refused before it is looked into."""
    with pytest.raises(ValueError, match=says):
        checked(stored("masking", name, document))


def test_bounds_of_depth_and_of_all() -> None:
    """So that nothing that is stored can exhaust whoever reads it."""
    deep: dict[str, Any] = {}
    for _ in range(17):
        deep = {"a": [deep]}
    with pytest.raises(ValueError, match="nested deeper than 16"):
        checked(stored("masking", "x", deep))
    with pytest.raises(ValueError, match="more than 4096 resources"):
        within_bounds([stored("masking", str(number), {}) for number in range(4097)])
    big = {"a": "b" * 65000}
    with pytest.raises(ValueError, match="larger than 4194304 bytes together"):
        within_bounds([stored("masking", str(number), big) for number in range(65)])


def test_a_document_of_the_file_has_nothing_stored() -> None:
    """Places of a file are lines."""
    assert Document(Path("x.yaml"), {}, {(): 1}).where(("targets", 0)) == "x.yaml:1"


@pytest.mark.parametrize(
    ("said", "stored_object", "refused"),
    [
        ("public.customers", "public.customers.email", True),
        ("public.customers", "public.customers.address.city", True),
        ("public.customers", "public.customers_old.email", False),
        ("public.customers.email", "public.customers.name", False),
        ("public.customers.email", "public.customers", False),
    ],
)
def test_what_the_file_classifies_is_not_weakened(tmp_path: Path, said: str, stored_object: str, refused: bool) -> None:
    """The nearest entry counts, so one inside of the file's would be in its place; around and beside it is room."""
    base = BASE.replace("object: public.customers.email", f"object: '{said}'")
    entry = stored("classification", f"orders/{stored_object}", {"class": "pii.email"})
    if not refused:
        load(tmp_path, entry, base=base)
        return
    (problem,) = problems(tmp_path, entry, base=base)
    assert problem.startswith(f'classification "orders/{stored_object}": object: lies in {said}, which ostiary.yaml:')
