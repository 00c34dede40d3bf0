"""What `ostiary policy explain` says, and that documents and examples say what is so."""

import re
from pathlib import Path
from typing import Any

import cedarpy
import pytest

from ostiary.core import Operation, PrincipalKind, Verdict
from ostiary.policy import SCHEMA_TEXT, CedarPolicy, check, explain, explain_unmask, single_access
from ostiary.policy.rules import ACTIONS
from tests.policy.kit import MONDAY_NOON, SOURCE, TARGET, Clock, Write, decide, does, who

ROOT = Path(__file__).parents[2]
RECIPES = re.findall(r"```cedar\n(.*?)```", (ROOT / "docs/policy.md").read_text("utf-8"), re.DOTALL)


def test_explain(under: Write) -> None:
    """By access: the verdict, every rule that fired with its place, and what is missing."""
    policy = under(
        '@id("reads") @owner("shop") permit(principal, action == Action::"read", resource in Target::"orders");\n'
        '@id("ddl")\n@approval("dba") forbid(principal, action == Action::"define", resource);',
        'permit(principal, action, resource in Object::"orders/public");\n'
        '@id("no") forbid(principal, action, resource == Object::"orders/public.x");',
    )
    told = explain(
        policy,
        who("g"),
        TARGET,
        does("read public.t", "define public.t", "read public.x", "unknown public.t"),
        MONDAY_NOON,
    )
    shown = [
        (
            f.action,
            f.resource,
            f.verdict,
            [(r.name, Path(r.file).name, r.line) for r in (*f.permits, *f.forbids)],
            f.sentence,
        )
        for f in told.findings
    ]
    assert shown == [
        ("read", "orders/public.t", Verdict.ALLOW, [("reads", "0.cedar", 1), ("1.cedar:1", "1.cedar", 1)], ""),
        ("define", "orders/public.t", Verdict.HOLD, [("1.cedar:1", "1.cedar", 1), ("ddl", "0.cedar", 2)], ""),
        (
            "read",
            "orders/public.x",
            Verdict.DENY,
            [("reads", "0.cedar", 1), ("1.cedar:1", "1.cedar", 1), ("no", "1.cedar", 2)],
            "",
        ),
        (
            "unknown",
            "orders/public.t",
            Verdict.DENY,
            [("1.cedar:1", "1.cedar", 1)],
            'no policy permits unknown on orders/public.t: a permit of "unknown" must name it',
        ),
    ]
    assert (told.ruling.verdict, told.ruling.rules) == (Verdict.DENY, ("no",))
    first = told.findings[0].permits[0]
    assert first.annotations == {"id": "reads", "owner": "shop"}
    assert first.text.startswith('@id("reads")')


def test_explain_agrees_with_decide(under: Write) -> None:
    """The explanation is the ruling, not a second opinion."""
    policy = under(*[(ROOT / "examples/policies/shop.cedar").read_text("utf-8")])
    for operation in Operation:
        for name in ("", "public.orders", "secret.x", 'a".'):
            action = single_access(TARGET, operation, name)
            for group in ("service/shop-api", "service/report-job", "none"):
                told = explain(policy, who(group), TARGET, action, MONDAY_NOON, SOURCE)
                assert told.ruling == decide(policy, action, who(group))


def test_explain_with_and_without_an_estimate(under: Write) -> None:
    """Without one it says which rule wants it."""
    policy = under('@id("all") permit(principal, action, resource);', recipe("large-change"))
    asked = [
        explain(policy, who(), TARGET, single_access(TARGET, Operation.DELETE, "public.t", rows), MONDAY_NOON)
        for rows in (None, 1000, 1001)
    ]
    assert [(told.ruling.verdict, told.ruling.rules) for told in asked] == [
        (Verdict.WEIGH, ("large-change",)),
        (Verdict.ALLOW, ("all",)),
        (Verdict.HOLD, ("large-change",)),
    ]
    assert asked[0].ruling.reason == (
        "delete on public.t: it depends on the target's estimate of rows, and there is none"
    )
    assert [rule.name for rule in asked[0].findings[0].deciding] == ["large-change"]


def test_explain_unmask(under: Write) -> None:
    """Masking's question is explained as well."""
    policy = under(
        '@id("s") permit(principal in Group::"s", action == Action::"unmask", resource in DataClass::"pii");'
    )
    assert explain_unmask(policy, who("s"), TARGET, "pii.email", MONDAY_NOON).ruling.rules == ("s",)
    ruling = explain_unmask(policy, who("x"), TARGET, "pii.email", MONDAY_NOON).ruling
    assert (ruling.verdict, ruling.reason) == (Verdict.DENY, "no policy permits unmask on pii.email")


def test_the_schema_knows_every_action() -> None:
    """Operations and `unmask`, no more and no fewer."""
    assert sorted(re.findall(r'"([a-z]+)"', re.sub(r"//.*", "", SCHEMA_TEXT))) == sorted(ACTIONS)


@pytest.mark.parametrize("operation", Operation)
def test_what_is_sent_to_cedar_fits_the_schema(under: Write, operation: Operation) -> None:
    """Requests and entities as the gateway builds them are those that policies were validated against."""
    policy = under("permit(principal, action, resource);")
    schema = cedarpy.Schema.from_str(SCHEMA_TEXT)
    real = cedarpy.is_authorized
    seen: list[cedarpy.AuthzResult] = []

    def strict(
        request: dict[str, object], policies: cedarpy.PolicySet, entities: cedarpy.Entities
    ) -> cedarpy.AuthzResult:
        cedarpy.Entities.from_json_str(str(entities), schema)
        seen.append(real(request, policies, entities, schema))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cedarpy, "is_authorized", strict)
        for kind in PrincipalKind:
            name = "" if operation is Operation.CONNECT else " public.t.c"
            decide(policy, does(f"{operation}{name}", rows=3, functions=("f",)), who("g", kind=kind), source="[::1]:5")
            policy.authorize_connect(who("g", kind=kind), TARGET, SOURCE)
            policy.rights(who("g", kind=kind), TARGET, SOURCE).may_unmask("pii.email")
    assert len(seen) == 6
    assert all(result.decision is cedarpy.Decision.Allow for result in seen)


@pytest.fixture
def shop(clock: Clock) -> CedarPolicy:
    """The demo's policies."""
    assert check(ROOT / "examples/policies", frozenset({"dba"})) == ()
    return CedarPolicy(ROOT / "examples/policies", clock)


@pytest.mark.parametrize(
    ("group", "access", "context", "verdict", "rules"),
    [
        ("service/shop-api", "read public.customers", {}, Verdict.ALLOW, ("shop-works",)),
        ("service/shop-api", "read pg_catalog.pg_type", {}, Verdict.ALLOW, ("catalog",)),
        ("service/shop-api", "read other.t", {}, Verdict.DENY, ()),
        ("service/shop-api", "delete public.orders", {}, Verdict.ALLOW, ("shop-works",)),
        ("service/shop-api", "delete public.orders", {"has_where": False}, Verdict.DENY, ("no-unbounded-delete",)),
        ("service/shop-api", "update public.orders", {"has_where": False}, Verdict.DENY, ("no-unbounded-update",)),
        ("service/shop-api", "define public.payments", {}, Verdict.HOLD, ("dba-approves-ddl",)),
        ("service/shop-api", "unknown public.payments", {}, Verdict.DENY, ()),
        ("service/report-job", "read public.orders", {}, Verdict.ALLOW, ("report-reads",)),
        ("service/report-job", "read public.payments", {}, Verdict.DENY, ()),
        ("service/report-job", "delete public.orders", {}, Verdict.DENY, ()),
        ("service/report-job", "define public.orders", {}, Verdict.DENY, ()),
        ("service/other", "read public.orders", {}, Verdict.DENY, ()),
    ],
)
def test_the_example(
    shop: CedarPolicy, group: str, access: str, context: dict[str, Any], verdict: Verdict, rules: tuple[str, ...]
) -> None:
    """The demo's policies do what their comments say."""
    ruling = decide(shop, does(access, **context), who(group))
    assert (ruling.verdict, ruling.rules) == (verdict, rules)


def test_the_example_connects_and_unmasks(shop: CedarPolicy) -> None:
    """Both services may connect; support alone sees addresses."""
    for group, connects, sees in [
        ("service/shop-api", True, False),
        ("service/report-job", True, False),
        ("support", False, True),
    ]:
        assert (shop.authorize_connect(who(group), TARGET, SOURCE).verdict is Verdict.ALLOW) is connects
        assert shop.rights(who(group), TARGET, SOURCE).may_unmask("pii.email") is sees


def test_every_recipe_loads(under: Write) -> None:
    """The cookbook's policies are valid, one by one and together."""
    assert len(RECIPES) == 11
    for recipe in RECIPES:
        under(recipe)
    under(*RECIPES)


def recipe(name: str) -> str:
    """The recipe that holds a text."""
    (found,) = [recipe for recipe in RECIPES if name in recipe]
    return str(found)


def test_recipes_do_what_they_say(under: Write, clock: Clock) -> None:
    """Each recipe's sentence, tried."""
    looks_up = under(recipe("information_schema")).rights(who("service/shop-api"), TARGET, SOURCE)
    assert looks_up.decide(does("read pg_catalog.pg_class")).verdict is Verdict.ALLOW
    assert looks_up.decide(does("read public.orders")).verdict is Verdict.DENY
    everything = "permit(principal, action, resource);"
    policy = under(everything, recipe("no-unbounded-change"))
    assert decide(policy, does("delete t", has_where=False)).rules == ("no-unbounded-change",)
    assert decide(policy, does("delete t")).verdict is Verdict.ALLOW

    ruling = decide(under(everything, recipe("dba-approves-ddl")), does("grant t"))
    assert (ruling.verdict, ruling.reason) == (Verdict.HOLD, "changes of tables need a second pair of eyes")

    policy = under(everything, recipe("large-change"))
    verdicts = [decide(policy, does("update t", rows=rows)).verdict for rows in (None, 1000, 1001)]
    assert verdicts == [Verdict.WEIGH, Verdict.ALLOW, Verdict.HOLD]

    policy = under(recipe("isInRange"))
    person = who("support", kind=PrincipalKind.HUMAN)
    office = "10.20.1.1:5"
    assert decide(policy, does("read t"), person, office).verdict is Verdict.ALLOW
    assert decide(policy, does("read t"), person, SOURCE).verdict is Verdict.DENY
    assert decide(policy, does("read t"), who("support"), office).verdict is Verdict.DENY
    clock.now += 6 * 3600
    assert decide(policy, does("read t"), person, office).verdict is Verdict.DENY
    clock.now += 5 * 24 * 3600 - 6 * 3600
    assert decide(policy, does("read t"), person, office).verdict is Verdict.DENY

    policy = under(recipe("dpo"))
    seen = {
        g: [c for c in ("pii.email", "pii.phone") if policy.rights(who(g), TARGET, SOURCE).may_unmask(c)]
        for g in ("support", "dpo")
    }
    assert seen == {"support": ["pii.email"], "dpo": ["pii.email", "pii.phone"]}

    assert under(recipe("hasTag")).authorize_connect(who("team/shop"), TARGET, SOURCE).verdict is Verdict.ALLOW
    policy = under(everything, recipe("no-large-objects"))
    assert decide(policy, does("read t", functions=("x", "pg_catalog.lo_export"))).verdict is Verdict.DENY
    assert decide(policy, does("read t", functions=("x",))).verdict is Verdict.ALLOW
