"""Deny by default, forbid wins, approval lifts; `unknown`, `unmask` and `declassify` by name only."""

from itertools import product
from typing import Any
from unittest import mock

import cedarpy
import pytest

from ostiary.core import Action, Operation, PrincipalKind, Refusal, RefusalKind, Shape, Target, Verdict
from ostiary.gate.ports import Refused
from tests.policy.kit import SOURCE, TARGET, Write, decide, does, who

PERMIT = '@id("p") permit(principal, action, resource in Object::"orders/public");'
FORBID = '@id("f") forbid(principal, action, resource == Object::"orders/public.f");'
HELD = '@id("h") @approval("dba") forbid(principal, action, resource == Object::"orders/public.h");'
HELD_TOO = '@id("h2") @approval("security") forbid(principal, action, resource == Object::"orders/public.h2");'
BOTH = '@id("b1") @approval("dba") forbid(principal, action, resource == Object::"orders/public.b");'
BOTH_HARD = '@id("b2") forbid(principal, action, resource == Object::"orders/public.b");'
ALL = "\n".join([PERMIT, FORBID, HELD, HELD_TOO, BOTH, BOTH_HARD])

#: object → what policy ALL says of it alone
ALONE = {
    "public.a": (Verdict.ALLOW, ("p",), ()),
    "public.f": (Verdict.DENY, ("f",), ()),
    "public.h": (Verdict.HOLD, ("h",), ("dba",)),
    "public.h2": (Verdict.HOLD, ("h2",), ("security",)),
    "public.b": (Verdict.DENY, ("b2",), ()),
    "other.x": (Verdict.DENY, (), ()),
}


@pytest.mark.parametrize("name", ALONE)
def test_one_access(under: Write, name: str) -> None:
    """Each kind of rule decides what it should, and is named."""
    ruling = decide(under(ALL), does(f"read {name}"))
    assert (ruling.verdict, ruling.rules, ruling.approval_groups) == ALONE[name]


def test_every_mix_of_three(under: Write) -> None:
    """Any denial denies; else any hold holds, with all groups; else allowed."""
    rights = under(ALL).rights(who("g"), TARGET, SOURCE)
    for names in product(ALONE, repeat=3):
        ruling = rights.decide(does(*(f"read {name}" for name in names)))
        verdicts = {ALONE[name][0] for name in names}
        expected = next(v for v in (Verdict.DENY, Verdict.HOLD, Verdict.ALLOW) if v in verdicts)
        deciding = [name for name in names if ALONE[name][0] is expected]
        assert ruling.verdict is expected, names
        assert set(ruling.rules) == {rule for name in deciding for rule in ALONE[name][1]}, names
        assert set(ruling.approval_groups) == {g for name in deciding for g in ALONE[name][2]}, names


def test_approval_does_not_permit(under: Write) -> None:
    """A held forbid on what nothing permits is a plain denial: there is nothing to lift it to."""
    ruling = decide(under('@approval("dba") forbid(principal, action, resource);'), does("read public.a"))
    assert ruling.verdict is Verdict.DENY
    assert ruling.reason == "no policy permits read on orders/public.a"
    assert ruling.rules == ()


def test_a_name_that_is_not_found(under: Write) -> None:
    """Most of these are slips of the pen: the sentence says what to look at."""
    reason = decide(under(""), does("read ?.oders")).reason
    assert reason == (
        "no policy permits read on orders/?.oders: its schema is not known; check the name, or write it with its schema"
    )


def test_two_groups_on_one_access(under: Write) -> None:
    """Each forbid that fires adds its group."""
    held = '@approval("dba") forbid(principal, action, resource);'
    more = '@approval("security") forbid(principal, action == Action::"define", resource);'
    ruling = decide(under(PERMIT + held + more), does("define public.a"))
    assert (ruling.verdict, ruling.approval_groups) == (Verdict.HOLD, ("dba", "security"))


def test_the_promised_sentence(under: Write) -> None:
    """The rule's name and the command's own summary make the client's denial."""
    text = '@id("no-unbounded-delete") forbid(principal, action, resource) unless { context.has_where };'
    action = does("delete public.orders", has_where=False, summary="DELETE without WHERE on public.orders")
    ruling = decide(under(PERMIT + text), action)
    assert (ruling.rules, ruling.reason) == (("no-unbounded-delete",), "DELETE without WHERE on public.orders")


def test_reason_in_the_rule_wins(under: Write) -> None:
    """`@reason` replaces the command's summary."""
    ruling = decide(
        under(PERMIT + '@reason("books are closed") forbid(principal, action, resource);'), does("read public.a")
    )
    assert ruling.reason == "books are closed"


@pytest.mark.parametrize("operation", [o for o in Operation if o is not Operation.UNKNOWN])
def test_a_blanket_permit_covers_all_but_unknown(under: Write, operation: Operation) -> None:
    """`action` without constraint covers every operation, also grant and admin."""
    assert decide(under("permit(principal, action, resource);"), does(f"{operation}")).verdict is Verdict.ALLOW


@pytest.mark.parametrize("operation", Operation)
def test_each_operation_is_its_own(under: Write, operation: Operation) -> None:
    """A permit of one operation permits no other."""
    policy = under(f'permit(principal, action == Action::"{operation}", resource);')
    for other in Operation:
        expected = Verdict.ALLOW if other is operation else Verdict.DENY
        assert decide(policy, does(f"{other}")).verdict is expected


@pytest.mark.parametrize(
    "head",
    ["action", 'action in [Action::"read"]', 'action == Action::"read"'],
)
def test_unknown_is_not_permitted_in_passing(under: Write, head: str) -> None:
    """A permit that does not name `unknown` in its head does not cover it, whatever its conditions say."""
    policy = under(
        f"permit(principal, {head}, resource);",
        'permit(principal, action, resource) when { action == Action::"unknown" };',
    )
    ruling = decide(policy, does("unknown public.a"))
    assert ruling.verdict is Verdict.DENY
    assert ruling.reason.startswith("no policy permits unknown on orders/public.a")


@pytest.mark.parametrize("head", ['action == Action::"unknown"', 'action in [Action::"read", Action::"unknown"]'])
def test_unknown_by_name(under: Write, head: str) -> None:
    """A head that names it permits it; the other permits that fire don't matter."""
    policy = under(f"permit(principal, {head}, resource); permit(principal, action, resource);")
    assert decide(policy, does("unknown public.a")).verdict is Verdict.ALLOW


def test_unknown_can_be_held(under: Write) -> None:
    """By name and with approval: held. In passing and with approval: denied."""
    held = '@approval("dba") forbid(principal, action == Action::"unknown", resource);'
    named = 'permit(principal, action == Action::"unknown", resource);'
    assert decide(under(held + named), does("unknown public.a")).verdict is Verdict.HOLD
    assert decide(under(held + PERMIT), does("unknown public.a")).verdict is Verdict.DENY


def test_nothing_touched_is_session(under: Write) -> None:
    """`SELECT 1` touches nothing: it needs `session` on the target, so an empty set never passes by default."""
    assert decide(
        under('permit(principal, action == Action::"session", resource == Target::"orders");'), does()
    ).verdict is (Verdict.ALLOW)
    assert decide(under('permit(principal, action == Action::"read", resource);'), does()).verdict is Verdict.DENY


def test_too_many_accesses_are_denied(under: Write) -> None:
    """A command of more than a thousand accesses is not worked through."""
    policy = under("permit(principal, action, resource);")
    ruling = decide(policy, does(*(f"read t{i}" for i in range(1001))))
    assert (ruling.verdict, ruling.reason) == (Verdict.DENY, "the command touches more than 1000 things")


def test_declassify(under: Write) -> None:
    """By name, as unmask; who may see a class may put it anywhere, and not the other way."""
    policy = under(
        "permit(principal, action, resource);"
        'permit(principal in Group::"etl", action == Action::"declassify", resource in DataClass::"pii");'
        'permit(principal in Group::"dpo", action == Action::"unmask", resource in DataClass::"pii");'
    )
    for group, moves, sees in (("etl", True, False), ("dpo", True, True), ("other", False, False)):
        rights = policy.rights(who(group), TARGET, SOURCE)
        assert (rights.may_declassify("pii.email"), rights.may_unmask("pii.email")) == (moves, sees)
        assert not rights.may_declassify("pci.card")


def test_unmask(under: Write) -> None:
    """By name, by class hierarchy, by target; a blanket permit and an approval do not lift masking."""
    policy = under(
        "permit(principal, action, resource);"
        'permit(principal in Group::"support", action == Action::"unmask", resource in DataClass::"pii.email")'
        ' when { context.target in Environment::"production" };'
        'permit(principal in Group::"dpo", action == Action::"unmask", resource in DataClass::"pii");'
        '@approval("dba") forbid(principal in Group::"held", action == Action::"unmask", resource);'
    )
    held = {
        group: [
            c
            for c in ("pii.email", "pii.phone", "pii", "pci.card")
            if policy.rights(who(group), TARGET, SOURCE).may_unmask(c)
        ]
        for group in ("support", "dpo", "held", "other")
    }
    assert held == {"support": ["pii.email"], "dpo": ["pii.email", "pii.phone", "pii"], "held": [], "other": []}
    elsewhere = Target("orders", "postgres", "h", 5432, "shop", labels={"environment": "staging"})
    assert not policy.rights(who("support"), elsewhere, SOURCE).may_unmask("pii.email")
    assert not policy.rights(who("dpo", "held"), TARGET, SOURCE).may_unmask("pii")
    assert not policy.rights(who("dpo"), TARGET, SOURCE).may_unmask('pii."x')


def test_connect(under: Write) -> None:
    """Opening a session is an action on the target; group, environment, label, kind and address count."""
    policy = under(
        'permit(principal is Workload in Group::"g", action, resource in Environment::"production")'
        ' when { context.target.hasTag("team") && context.target.getTag("team") == "shop"'
        '  && context has source && context.source.isInRange(ip("10.0.0.0/8")) && context.has_where };'
    )
    assert policy.authorize_connect(who("g"), TARGET, SOURCE).verdict is Verdict.ALLOW
    assert policy.authorize_connect(who("g"), TARGET, "[::ffff:10.0.0.9]:1").verdict is Verdict.ALLOW
    for principal, target, source in [
        (who("x"), TARGET, SOURCE),
        (who("g", kind=PrincipalKind.HUMAN), TARGET, SOURCE),
        (who("g"), Target("orders", "postgres", "h", 1, "d", labels={"environment": "test", "team": "shop"}), SOURCE),
        (who("g"), Target("orders", "postgres", "h", 1, "d", labels={"environment": "production"}), SOURCE),
        (who("g"), TARGET, "192.168.0.1:5"),
        (who("g"), TARGET, "fe80::1%eth0:5"),
        (who("g"), TARGET, "unix"),
    ]:
        ruling = policy.authorize_connect(principal, target, source)
        assert (ruling.verdict, ruling.reason) == (Verdict.DENY, "no policy permits connect on orders")


def test_principal_attributes(under: Write) -> None:
    """Issuer and subject can be told apart, and an issuer whose name would blur them is refused."""
    policy = under(
        'permit(principal == Workload::"a:b:c", action, resource)'
        ' when { principal.issuer == "a" && principal.subject == "b:c" };'
    )
    assert decide(policy, does("read t"), who(issuer="a", name="b:c")).verdict is Verdict.ALLOW
    for issuer in ("a:b", ""):
        with pytest.raises(ValueError, match="an issuer's name"):
            decide(policy, does("read t"), who(issuer=issuer, name="c"))
    with pytest.raises(ValueError, match="a target's name"):
        policy.authorize_connect(who(), Target("a/b", "postgres", "h", 1, "d"), SOURCE)


def test_what_the_analysis_does_not_say_counts_against_the_command(under: Write) -> None:
    """No `has_where` is none; no `dynamic` is dynamic."""
    action = Action(Shape(does("read t").shape.accesses, "s"), "")
    for condition in ("context.has_where", "!context.dynamic", "context.statements == 0"):
        policy = under(f"permit(principal, action, resource) when {{ {condition} }};")
        assert decide(policy, action).verdict is Verdict.DENY


def test_a_rule_that_fails_is_a_refusal(under: Write) -> None:
    """Cedar leaves out a forbid that overflows; here it refuses, and is not remembered."""
    policy = under(
        "permit(principal, action, resource);"
        '@id("sum") forbid(principal, action, resource) when { context.statements + 9223372036854775807 < 0 };'
    )
    rights = policy.rights(who("g"), TARGET, SOURCE)
    action = does("read public.a")
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            rights.decide(action)
        refusal: Refusal = caught.value.refusal
        assert refusal.kind is RefusalKind.INTERNAL
        assert refusal.message == "refused: a policy could not be evaluated for read on orders/public.a"
        assert "sum" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "context", [{"has_where": "yes"}, {"statements": "1"}, {"functions": ("\ud800",)}, {"statements": 2**70}]
)
def test_a_context_of_the_wrong_type_is_a_refusal(under: Write, context: dict[str, Any]) -> None:
    """What an engine must not say does not pass as something else."""
    policy = under(
        "permit(principal, action, resource);"
        "forbid(principal, action, resource) when { !context.has_where || context.statements > 5 };"
    )
    with pytest.raises((Refused, ValueError)):
        decide(policy, does("read t", **context))


def test_cedar_raises(under: Write) -> None:
    """Whatever Cedar's binding raises comes out, for the gate to refuse."""
    policy = under("permit(principal, action, resource);")
    rights = policy.rights(who("g"), TARGET, SOURCE)
    with mock.patch.object(cedarpy, "is_authorized", side_effect=RuntimeError("boom")), pytest.raises(RuntimeError):
        rights.decide(does("read t"))
    nothing = cedarpy.AuthzResult({"decision": "NoDecision", "diagnostics": {"errors": []}})
    with mock.patch.object(cedarpy, "is_authorized", return_value=nothing), pytest.raises(Refused):
        rights.decide(does("read t"))
