"""A remembered ruling is the ruling that would be made now, and nobody else's."""

from dataclasses import replace
from pathlib import Path
from unittest import mock

import cedarpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostiary.core import Action, Principal, PrincipalKind, Ruling, Target, Verdict
from ostiary.policy import CedarPolicy, CedarRights, cedar
from tests.policy.kit import MONDAY_NOON, SOURCE, TARGET, Clock, Write, decide, does, put, who

PLAIN = "permit(principal, action, resource);"


def asked(rights: CedarRights, action: Action) -> tuple[Verdict, bool]:
    """The verdict, and whether Cedar was asked for it."""
    with mock.patch.object(cedarpy, "is_authorized", wraps=cedarpy.is_authorized) as spy:
        ruling = rights.decide(action)
        return ruling.verdict, spy.called


def test_made_once(under: Write) -> None:
    """Equal shapes are ruled on once, also for another session of the same principal."""
    policy = under(PLAIN)
    action = does("read t")
    rights = policy.rights(who("g"), TARGET, SOURCE)
    assert asked(rights, action) == (Verdict.ALLOW, True)
    assert asked(rights, replace(action, text="other constants", rows_estimate=7)) == (Verdict.ALLOW, False)
    later = replace(who("g"), expires_at=3e9, proof_id="jti-2")
    assert asked(policy.rights(later, TARGET, "10.9.9.9:1"), action) == (Verdict.ALLOW, False)
    assert asked(rights, does("read t")) == (Verdict.ALLOW, True)


@pytest.mark.parametrize(
    "other",
    [
        who(),
        who("g", "h"),
        who("h"),
        who("g", name="other"),
        who("g", issuer="corp"),
        who("g", kind=PrincipalKind.HUMAN),
    ],
)
def test_not_shared_with_others(under: Write, other: Principal) -> None:
    """Kind, issuer, subject and every group tell principals apart, whichever comes first."""
    policy = under(
        'permit(principal is Workload in Group::"g", action, resource)'
        ' when { principal.issuer == "local" && principal.subject == "shop" };'
        'forbid(principal in Group::"h", action, resource);'
    )
    action = does("read t")
    for principal in (who("g"), other, who("g"), other):
        expected = Verdict.ALLOW if principal is not other else Verdict.DENY
        assert decide(policy, action, principal).verdict is expected


def test_targets_are_told_apart(under: Write) -> None:
    """Two targets of one name, as across a change of the configuration, share nothing."""
    policy = under('permit(principal, action, resource in Environment::"production");')
    action = does("read t")
    staging = replace(TARGET, labels={"environment": "staging"})
    assert [policy.rights(who(), t, SOURCE).decide(action).verdict for t in (TARGET, staging, TARGET)] == [
        Verdict.ALLOW,
        Verdict.DENY,
        Verdict.ALLOW,
    ]


def test_address(under: Write) -> None:
    """The client's address counts where a policy mentions it; without one, a permit that needs it is none."""
    policy = under(
        'permit(principal, action, resource) when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };'
    )
    action = does("read t")
    for source, expected in [
        (SOURCE, Verdict.ALLOW),
        ("11.0.0.1:1", Verdict.DENY),
        (SOURCE, Verdict.ALLOW),
        ("unix", Verdict.DENY),
    ]:
        assert decide(policy, action, source=source).verdict is expected


def test_rows_estimate(under: Write) -> None:
    """What depends on the estimate is remembered as that, never as an answer to one."""
    policy = under(
        PLAIN + '@approval("dba") forbid(principal, action, resource)'
        " when { context has rows_estimate && context.rows_estimate > 100 };"
    )
    rights = policy.rights(who("g"), TARGET, SOURCE)
    action = does("read t")
    few, many = replace(action, rows_estimate=100), replace(action, rows_estimate=101)
    assert asked(rights, many) == (Verdict.HOLD, True)
    assert asked(rights, action) == (Verdict.WEIGH, False)
    for each, expected in [(few, Verdict.ALLOW), (many, Verdict.HOLD), (few, Verdict.ALLOW)]:
        assert asked(rights, each) == (expected, True)


@pytest.mark.parametrize(("attribute", "absent"), [("rows_estimate", Verdict.WEIGH), ("source", Verdict.DENY)])
def test_presence_counts(under: Write, attribute: str, absent: Verdict) -> None:
    """A policy that asks only whether an optional attribute is there mentions it."""
    policy = under(f"permit(principal, action, resource) when {{ context has {attribute} }};")
    action = does("read t")
    given = replace(action, rows_estimate=1)
    for _ in range(2):
        assert decide(policy, given).verdict is Verdict.ALLOW
        assert decide(policy, action, source="unix").verdict is absent


def test_minutes(under: Write, clock: Clock) -> None:
    """Hour, minute and weekday are remembered for the minute they hold in, `unmask` included."""
    policy = under(
        "permit(principal, action, resource)"
        " when { context.time.hour == 12 && context.time.minute < 30 && context.time.weekday == 1 };"
        'permit(principal, action == Action::"unmask", resource) when { context.time.minute < 30 };'
    )
    rights = policy.rights(who("g"), TARGET, SOURCE)
    action = does("read t")
    assert asked(rights, action) == (Verdict.ALLOW, True)
    clock.now += 59.9
    assert asked(rights, action) == (Verdict.ALLOW, False)
    clock.now += 0.1
    assert asked(rights, action) == (Verdict.ALLOW, True)
    clock.now = MONDAY_NOON + 1799.9
    assert rights.may_unmask("pii")
    assert asked(rights, action) == (Verdict.ALLOW, True)
    clock.now = MONDAY_NOON + 1800
    assert not rights.may_unmask("pii")
    assert asked(rights, action) == (Verdict.DENY, True)
    clock.now = MONDAY_NOON + 24 * 3600
    assert asked(rights, action) == (Verdict.DENY, True)
    clock.now = MONDAY_NOON
    assert asked(rights, action) == (Verdict.ALLOW, True)


@pytest.mark.parametrize(
    "condition",
    [
        f"context.time.unix < {int(MONDAY_NOON) + 5}",
        f"(if true then context else context).time.unix < {int(MONDAY_NOON) + 5}",
        f"(if true then context.time else context.time).unix < {int(MONDAY_NOON) + 5}",
        f'context.time != {{"hour": 12, "minute": 0, "weekday": 1, "unix": {int(MONDAY_NOON) + 5}}}',
        f"context has time.unix && context.time.unix < {int(MONDAY_NOON) + 5}",
    ],
)
def test_instants(under: Write, clock: Clock, condition: str) -> None:
    """Whoever looks at the second, however it is written, is asked each time."""
    policy = under(f"permit(principal, action, resource) when {{ {condition} }};")
    rights = policy.rights(who("g"), TARGET, SOURCE)
    action = does("session")
    assert asked(rights, action) == (Verdict.ALLOW, True)
    clock.now += 5
    assert asked(rights, action) == (Verdict.DENY, True)


def test_the_whole_context_mentions_everything(under: Write) -> None:
    """A context passed on as a whole may be looked at in every part."""
    policy = under("permit(principal, action, resource) when { (if true then context else context) has source };")
    assert all(rule.estimates for rule in policy.rules.rules.values())
    assert policy.rules.mentions_source
    assert policy.rules.clock == "instant"


def test_memos_are_bounded(under: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A memo starts anew when what it keeps alive grows too large; the oldest view goes when there are too many."""
    monkeypatch.setattr(cedar, "MAX_MEMO", 10)
    monkeypatch.setattr(cedar, "MAX_VIEWS", 2)
    policy = under(PLAIN)
    rights = policy.rights(who("g"), TARGET, SOURCE)
    actions = [does("read t") for _ in range(6)]
    for action in actions[:5]:
        rights.decide(action)
    assert not asked(rights, actions[0])[1]
    rights.decide(actions[5])
    assert asked(rights, actions[0]) == (Verdict.ALLOW, True)
    assert not asked(rights, actions[5])[1]
    for name in ("a", "b", "c"):
        assert decide(policy, actions[5], who("g", name=name)).verdict is Verdict.ALLOW
    assert not asked(rights, actions[5])[1]
    assert asked(policy.rights(who("g"), TARGET, SOURCE), actions[5])[1]
    for index in range(40):
        assert not rights.may_unmask(f"c{index}")


RULES = [
    'permit(principal, action, resource in Object::"orders/a");',
    'permit(principal in Group::"g", action, resource in Target::"orders");',
    'permit(principal, action == Action::"unknown", resource);',
    'forbid(principal in Group::"h", action == Action::"delete", resource) unless { context.has_where };',
    '@approval("dba") forbid(principal, action == Action::"delete", resource in Object::"orders/a");',
    "forbid(principal, action, resource) when { context.time.minute == 1 };",
    "forbid(principal, action, resource) when { context.time.unix % 2 == 1 };".replace("% 2 == 1", "< 1793620801"),
    "forbid(principal, action, resource) when { context has rows_estimate && context.rows_estimate > 5 };",
    'forbid(principal, action, resource) unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };',
    'permit(principal is Human, action, resource) when { context.target in Environment::"e" };',
    'forbid(principal, action, resource) when { context.functions.contains("f") };',
]
ACTIONS = [
    does(f"{operation} {name}", "read a.t", has_where=has_where, functions=functions)
    for operation in ("read", "delete", "unknown")
    for name in ("a.t", "b.t", "?.t", 'a".t')
    for has_where in (True, False)
    for functions in ((), ("f",))
]
PRINCIPALS = [who(), who("g"), who("g", "h"), who("g", kind=PrincipalKind.HUMAN), who("h", name="x")]
TARGETS = [TARGET, replace(TARGET, labels={"environment": "e"})]
STEPS = st.tuples(
    st.sampled_from(ACTIONS),
    st.sampled_from(PRINCIPALS),
    st.sampled_from(TARGETS),
    st.sampled_from([SOURCE, "11.0.0.1:1", "unix"]),
    st.sampled_from([None, 5, 6]),
    st.sampled_from([0.0, 1.0, 60.0]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(RULES), min_size=1), st.lists(STEPS, min_size=2, max_size=12)),
        min_size=1,
        max_size=3,
    )
)
def test_memoised_equals_fresh(
    tmp_path: Path, script: list[tuple[set[str], list[tuple[Action, Principal, Target, str, int | None, float]]]]
) -> None:
    """Under any rules, reloads, principals, addresses, estimates and times: as a policy made just now would rule."""
    clock = Clock()
    policy: CedarPolicy | None = None
    sessions: dict[int, CedarRights] = {}

    def plain(ruling: Ruling) -> Ruling:
        return replace(ruling, version=0)

    for rules, steps in script:
        put(tmp_path, "\n".join(sorted(rules)))
        if policy is None:
            policy = CedarPolicy(tmp_path, clock)
        else:
            policy.reload()
        for action, principal, target, source, rows, wait in steps:
            clock.now += wait
            key = hash((principal.id, principal.kind, principal.groups, id(target), source))
            rights = sessions.setdefault(key, policy.rights(principal, target, source))
            asked_for = replace(action, rows_estimate=rows)
            fresh = CedarPolicy(tmp_path, clock).rights(principal, target, source).decide(asked_for)
            assert plain(rights.decide(asked_for)) == plain(fresh)
