"""What the API does: permitted only by a rule that names it, on a target or on the gateway."""

import pytest

from ostiary.core import PrincipalKind, Verdict
from ostiary.policy import ControlAction
from tests.policy.kit import SOURCE, TARGET, Write, who

VIEW, ADMINISTER = ControlAction.VIEW, ControlAction.ADMINISTER


@pytest.mark.parametrize("action", list(ControlAction))
def test_a_rule_for_every_action_does_not_permit_it(under: Write, action: ControlAction) -> None:
    """Nor does one that only compares; whoever may do all to the data may do nothing here."""
    policy = under(
        "permit (principal, action, resource);"
        f'permit (principal, action, resource) when {{ action == Action::"{action}" }};'
    )
    for target in (TARGET, None):
        ruling = policy.authorize_control(who("g"), action, target, SOURCE)
        assert ruling.verdict is Verdict.DENY
        assert "must name it" in ruling.reason


def test_resources(under: Write) -> None:
    """A target is in its environment and in the gateway; the gateway is in nothing."""
    policy = under(
        '@id("all") permit (principal in Group::"all", action == Action::"view", resource in Gateway::"ostiary");'
        '@id("self") permit (principal in Group::"self", action == Action::"view", resource == Gateway::"ostiary");'
        '@id("prod") permit (principal in Group::"prod", action == Action::"view",'
        ' resource in Environment::"production");'
    )

    def permitted(group: str) -> list[bool]:
        rulings = [policy.authorize_control(who(group), VIEW, target, SOURCE) for target in (TARGET, None)]
        return [ruling.verdict is Verdict.ALLOW for ruling in rulings]

    assert permitted("all") == [True, True]
    assert permitted("self") == [False, True]
    assert permitted("prod") == [True, False]
    assert permitted("other") == [False, False]
    assert policy.authorize_control(who("all"), ADMINISTER, None, SOURCE).verdict is Verdict.DENY


def test_conditions(under: Write) -> None:
    """Address, kind and labels count; a forbid wins, and one with `@approval` holds, which the caller refuses."""
    policy = under(
        '@id("people") permit (principal is Human, action in [Action::"administer", Action::"view"], resource)'
        ' when { context has source && context.source.isInRange(ip("10.1.0.0/16")) };'
        '@id("no-prod") forbid (principal, action == Action::"administer", resource)'
        ' when { context.target in Environment::"production" };'
        '@id("ask") @approval("dba") forbid (principal, action == Action::"view", resource == Gateway::"ostiary");'
    )
    person, program = who("g", kind=PrincipalKind.HUMAN), who("g")
    assert policy.authorize_control(person, VIEW, TARGET, SOURCE).rules == ("people",)
    assert policy.authorize_control(person, VIEW, TARGET, "8.8.8.8:1").verdict is Verdict.DENY
    assert policy.authorize_control(program, VIEW, TARGET, SOURCE).verdict is Verdict.DENY
    assert policy.authorize_control(person, ADMINISTER, TARGET, SOURCE).rules == ("no-prod",)
    assert policy.authorize_control(person, ADMINISTER, None, SOURCE).verdict is Verdict.ALLOW
    assert policy.authorize_control(person, VIEW, None, SOURCE).verdict is Verdict.HOLD
