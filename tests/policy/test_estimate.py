"""A ruling that depends on the target's estimate of rows waits for it; no other does."""

from itertools import combinations
from unittest import mock

import cedarpy
import pytest

from ostiary.core import Verdict
from tests.policy.kit import SOURCE, TARGET, Write, decide, does, who

ALL = '@id("all") permit(principal, action, resource);'
READ = '@id("read") permit(principal, action == Action::"read", resource);'
MANY = "when { context has rows_estimate && context.rows_estimate > 10 };"
FEW = "when { context has rows_estimate && context.rows_estimate <= 10 };"
DENY_MANY = f'@id("many") forbid(principal, action == Action::"delete", resource in Object::"orders/a") {MANY}'
HOLD_MANY = f'@id("many") @approval("dba") forbid(principal, action == Action::"delete", resource) {MANY}'
ALLOW_FEW = f'@id("few") permit(principal, action == Action::"delete", resource) {FEW}'
UNLESS_FEW = FEW.replace("when", "unless")


@pytest.mark.parametrize(
    ("policies", "access", "verdicts"),
    [
        ([ALL, DENY_MANY], "delete a.t", (Verdict.WEIGH, Verdict.ALLOW, Verdict.DENY)),
        ([ALL, DENY_MANY], "delete ?.t", (Verdict.WEIGH, Verdict.ALLOW, Verdict.DENY)),
        ([ALL, DENY_MANY], "delete b.t", (Verdict.ALLOW,) * 3),
        ([ALL, DENY_MANY], "read a.t", (Verdict.ALLOW,) * 3),
        ([READ, DENY_MANY], "delete a.t", (Verdict.DENY,) * 3),
        ([ALL, HOLD_MANY], "delete t", (Verdict.WEIGH, Verdict.ALLOW, Verdict.HOLD)),
        ([READ, ALLOW_FEW], "delete t", (Verdict.WEIGH, Verdict.ALLOW, Verdict.DENY)),
        ([READ, ALLOW_FEW], "update t", (Verdict.DENY,) * 3),
        ([ALL, ALLOW_FEW], "delete t", (Verdict.ALLOW,) * 3),
        ([ALL, ALLOW_FEW, "forbid(principal, action, resource);"], "delete t", (Verdict.DENY,) * 3),
        (
            [ALL, '@approval("dba") forbid(principal, action, resource);', DENY_MANY],
            "delete a.t",
            (Verdict.WEIGH, Verdict.HOLD, Verdict.DENY),
        ),
        (
            [ALL, f"forbid(principal, action, resource) {UNLESS_FEW}"],
            "delete t",
            (Verdict.WEIGH, Verdict.ALLOW, Verdict.DENY),
        ),
        ([ALL, f'forbid(principal in Group::"other", action, resource) {MANY}'], "delete t", (Verdict.ALLOW,) * 3),
        ([ALL, f"forbid(principal, action, resource) {MANY}"], "session", (Verdict.ALLOW,) * 3),
        (
            [ALL, f"forbid(principal, action, resource) {MANY}"],
            "define t",
            (Verdict.WEIGH, Verdict.ALLOW, Verdict.DENY),
        ),
    ],
)
def test_verdicts(under: Write, policies: list[str], access: str, verdicts: tuple[Verdict, ...]) -> None:
    """Without an estimate, with a small one, with a large one."""
    policy = under(*policies)
    assert tuple(decide(policy, does(access, rows=rows)).verdict for rows in (None, 1, 11)) == verdicts


def test_whatever_is_settled_holds_for_every_estimate(under: Write) -> None:
    """Without an estimate a verdict is given only if no estimate would change it."""
    rules = [
        *(READ, DENY_MANY.replace("many", "many-a"), HOLD_MANY, ALLOW_FEW),
        '@approval("dba") forbid(principal, action, resource in Object::"orders/a");',
        'forbid(principal, action == Action::"delete", resource in Object::"orders/b") unless { context.has_where };',
        f'@id("some") permit(principal, action, resource in Object::"orders/a") {MANY}',
        f'@id("session") forbid(principal, action == Action::"session", resource) {MANY}',
        '@id("target") permit(principal, action, resource in Target::"orders");',
    ]
    accesses = [("delete a.t",), ("delete b.t",), ("delete ?.t",), ("session", "read b.t"), ("read a.t", "delete b.t")]
    seen = set()
    for size in (1, 2, 3):
        for chosen in combinations(rules, size):
            policy = under("\n".join(chosen))
            for access in accesses:
                for where in (True, False):
                    alone, *weighed = (
                        policy.judge(who(), TARGET, SOURCE).action(does(*access, rows=rows, has_where=where), 0.0)
                        for rows in (None, 0, 10, 11)
                    )
                    for finding, *others in zip(alone, *weighed, strict=True):
                        seen.add(finding.verdict)
                        assert all(other.verdict is not Verdict.WEIGH for other in others)
                        if finding.verdict is not Verdict.WEIGH:
                            assert {other.verdict for other in others} == {finding.verdict}, (chosen, access, finding)
    assert seen == set(Verdict)


def test_a_denial_comes_before_the_question(under: Write) -> None:
    """Nothing is asked of the target about a command that is denied whatever it says."""
    ruling = decide(under(READ, DENY_MANY, HOLD_MANY.replace("many", "m")), does("read t", "delete t"))
    assert (ruling.verdict, ruling.reason) == (Verdict.DENY, "no policy permits delete on orders/t")


def test_the_question_comes_before_a_hold(under: Write) -> None:
    """People are not asked for what the estimate may deny."""
    policy = under(
        ALL, DENY_MANY, '@id("ddl") @approval("dba") forbid(principal, action == Action::"define", resource);'
    )
    verdicts = [decide(policy, does("define t", "delete a.t", rows=rows)).verdict for rows in (None, 1, 11)]
    assert verdicts == [Verdict.WEIGH, Verdict.HOLD, Verdict.DENY]


def test_no_statement_is_never_weighed(under: Write) -> None:
    """`connect` and `unmask` have no estimate, and are ruled on without one."""
    policy = under(
        f"forbid(principal, action, resource) {MANY}",
        f'{ALL} @id("unmasks") permit(principal, action == Action::"unmask", resource);',
    )
    assert policy.authorize_connect(who(), TARGET, SOURCE).verdict is Verdict.ALLOW
    assert policy.rights(who(), TARGET, SOURCE).may_unmask("pii")


def test_rules_that_do_not_look_cost_nothing(under: Write) -> None:
    """One question to Cedar for a permit, as before there were estimates; two where a rule looks at them."""
    for text, questions in ((ALL, 1), (ALL + f"forbid(principal, action, resource) {MANY}", 2)):
        policy = under(text)
        with mock.patch.object(cedarpy, "is_authorized", wraps=cedarpy.is_authorized) as spy:
            decide(policy, does("read t"))
        assert spy.call_count == questions


def test_an_estimate_beyond_cedars_numbers(under: Write) -> None:
    """A planner's figure of any size is a large one."""
    assert decide(under(ALL, HOLD_MANY), does("delete t", rows=10**100)).verdict is Verdict.HOLD
