"""The pipeline's order, and what every failing port leads to: a refusal, and nothing lent or run."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from ostiary.core import (
    Access,
    Action,
    Column,
    Operation,
    Outcome,
    Parameter,
    Permit,
    Refusal,
    RefusalKind,
    Result,
    ResultKind,
    Shape,
    Stage,
    ValueKind,
)
from ostiary.gate import gate as gate_module
from ostiary.gate.gate import Gate, GateSession, Hold
from ostiary.gate.ports import Decision, Refused
from ostiary.protocols.postgres.rows import TextFields
from tests.gate.fakes import ALLOW, DENY, HOLD, PROOF, WEIGH, World

SHAPE = Shape((Access(Operation.DELETE, "orders/public.orders"),), "DELETE without WHERE on public.orders")
ACTION = Action(SHAPE, "DELETE FROM orders", (Parameter(b"1"),))
BOOM = RuntimeError("secret detail that must not be shown")


@pytest.fixture
def world() -> World:
    """Ports that all say yes."""
    return World()


def make(world: World) -> Gate:
    """A gate on the world's clock."""
    numbers = itertools.count(1)
    return Gate(world.ports(), lambda: world.time, lambda: f"s{next(numbers)}")


async def connected(world: World) -> GateSession:
    """An admitted session."""
    return await make(world).connect(PROOF)


async def test_connect_records_the_start_before_there_is_a_credential(world: World) -> None:
    """The recording opens, then the lease, then the permit."""
    session = await connected(world)
    assert world.recorder.kinds() == ["SessionStarted", "LeaseIssued"]
    assert session.permit.action_id is None


@pytest.mark.parametrize(
    "port", ["identify", "registry", "authorize_connect", "rights", "open", "recorder.write", "required", "lease"]
)
@pytest.mark.parametrize("fault", [BOOM, OSError(28, "No space left"), TimeoutError()])
async def test_a_port_that_raises_at_connect_refuses(world: World, port: str, fault: Exception) -> None:
    """Whatever port fails, the client gets a sentence without the error's text, and no credential is lent."""
    world.faults.on[port] = fault
    with pytest.raises(Refused) as caught:
        await connected(world)
    assert world.leased == []
    assert "secret detail" not in caught.value.refusal.message + caught.value.refusal.hint
    assert caught.value.refusal.hint


@pytest.mark.parametrize("port", ["identify", "lease"])
async def test_a_port_that_hangs_at_connect_refuses(world: World, port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is a refusal."""
    monkeypatch.setattr(gate_module, "CONNECT_SECONDS", 0.01)
    world.faults.on[port] = "hang"
    with pytest.raises(Refused, match="did not answer in time"):
        await connected(world)


async def test_a_lease_is_given_back_when_the_rest_of_connect_fails(world: World) -> None:
    """Nothing that was lent is left behind by a later failure."""
    world.faults.on["LeaseIssued"] = BOOM
    with pytest.raises(Refused):
        await connected(world)
    assert world.leased == ["s1"]
    assert world.revoked == ["l1"]


@pytest.mark.parametrize("ruling", [DENY, HOLD])
async def test_a_denied_connect_is_recorded_and_lends_nothing(world: World, ruling: object) -> None:
    """The refusal names the rule; the recording is closed."""
    world.connect_ruling = ruling  # type: ignore[assignment]
    with pytest.raises(Refused, match="denied by policy"):
        await connected(world)
    assert world.leased == []
    assert world.recorder.kinds() == ["SessionStarted", "SessionEnded"]
    assert world.recorder.closed is not None


async def test_an_unknown_target_is_refused(world: World) -> None:
    """Nothing is recorded or lent for a target that is not declared."""
    world.targets = {}
    with pytest.raises(Refused, match='no target "orders"'):
        await connected(world)


async def test_the_intent_is_recorded_before_the_permit(world: World) -> None:
    """An allowed action leaves an intent and gets a permit for itself."""
    session = await connected(world)
    permit = session.judge(7, ACTION, Stage.RUN)
    assert isinstance(permit, Permit)
    assert permit.action_id == 7
    assert world.recorder.kinds()[-1] == "IntentRecorded"


@pytest.mark.parametrize("port", ["decide", "text", "parameters", "IntentRecorded", "recorder.write"])
async def test_a_port_that_raises_at_an_action_refuses(world: World, port: str) -> None:
    """No permit comes out of a failing port, and the sentence hides the error's text."""
    session = await connected(world)
    world.faults.on[port] = BOOM
    answer = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(answer, Refusal)
    assert "secret detail" not in answer.message


async def test_a_refusal_stands_when_it_cannot_be_recorded(world: World) -> None:
    """Refusing does not depend on the recorder."""
    session = await connected(world)
    world.ruling = DENY
    world.faults.on["recorder.later"] = BOOM
    answer = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.POLICY


async def test_denial_reads_as_promised(world: World) -> None:
    """The sentence of interface.md: rule, then reason."""
    session = await connected(world)
    world.ruling = DENY
    answer = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(answer, Refusal)
    assert answer.message == 'denied by policy "no-unbounded-delete": DELETE without WHERE on public.orders'


async def test_an_ended_token_refuses_the_next_action(world: World) -> None:
    """session_until is checked at every action."""
    session = await connected(world)
    world.time = 2000.0
    answer = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.EXPIRED


@pytest.mark.parametrize("stage", [Stage.PREPARE, Stage.RUN])
async def test_what_would_leave_its_class_is_refused(world: World, stage: Stage) -> None:
    """Before anything is held or recorded as meant; and a port that fails refuses too."""
    session = await connected(world)
    world.leaving = Refusal(RefusalKind.POLICY, "denied: it leaves", "classify")
    assert session.judge(1, ACTION, stage) == world.leaving
    assert world.recorder.kinds()[-1] == "ActionRefused"
    world.faults.on["forbidden"] = BOOM
    refused = session.judge(2, ACTION, stage)
    assert isinstance(refused, Refusal)
    assert "secret detail" not in refused.message


async def test_what_is_known_to_move_nothing_is_not_asked_about(world: World) -> None:
    """The fast path: reads say so."""
    session = await connected(world)
    world.faults.on["forbidden"] = BOOM
    assert isinstance(session.judge(1, Action(replace(SHAPE, moves=()), "x"), Stage.RUN), Permit)


async def test_a_right_to_declassify_that_is_lost_while_held_counts(world: World) -> None:
    """An approval lifts a hold, not this."""
    session = await connected(world)
    world.ruling = HOLD
    hold = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(hold, Hold)
    world.leaving = Refusal(RefusalKind.POLICY, "denied: it leaves", "classify")
    assert await session.hold(hold, lambda _: None) == world.leaving
    assert "IntentRecorded" not in world.recorder.kinds()


async def weighed(world: World, session: GateSession, rows: int | None) -> Permit | Refusal:
    """Judge ACTION, which policy rules on by the estimate, with this one."""
    world.ruling = WEIGH
    hold = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(hold, Hold)
    assert world.recorder.kinds()[-1] == "LeaseIssued"
    return await session.hold(hold.weighing(rows), lambda _: None)


async def test_an_estimate_can_permit(world: World) -> None:
    """Policy is asked again with the estimate; nobody else is, and the intent is recorded first."""
    session = await connected(world)
    world.weighed = ALLOW
    permit = await weighed(world, session, 3)
    assert isinstance(permit, Permit)
    assert permit.action_id == 1
    assert world.requests == []
    assert world.recorder.kinds()[-1] == "IntentRecorded"
    assert isinstance(session.renew(permit), Permit)


async def test_an_estimate_can_deny(world: World) -> None:
    """The rule that denies is named."""
    session = await connected(world)
    world.weighed = DENY
    answer = await weighed(world, session, 3000)
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.rules) == (RefusalKind.POLICY, DENY.rules)
    assert world.requests == []
    assert world.recorder.kinds()[-1] == "ActionRefused"


async def test_an_estimate_can_hold(world: World) -> None:
    """The person who is asked sees the estimate; what policy says of it afterwards counts."""
    session = await connected(world)
    world.weighed = HOLD
    assert isinstance(await weighed(world, session, 3000), Permit)
    assert [request.action.rows_estimate for request in world.requests] == [3000]
    assert [request.rules for request in world.requests] == [HOLD.rules]
    assert world.recorder.kinds()[-2:] == ["ActionHeld", "IntentRecorded"]


async def test_no_estimate_is_a_refusal(world: World) -> None:
    """A policy that needs an estimate and has none denies: the thing, the reason, the next step."""
    session = await connected(world)
    world.weighed = ALLOW
    answer = await weighed(world, session, None)
    assert isinstance(answer, Refusal)
    assert answer.message == f'denied by policy "large-change": {WEIGH.reason}'
    assert answer.hint.startswith("send it as one plain statement")
    assert world.recorder.kinds()[-1] == "ActionRefused"
    assert world.requests == []


@pytest.mark.parametrize(("change", "kind"), [("time", RefusalKind.EXPIRED), ("decide", RefusalKind.INTERNAL)])
async def test_what_fails_while_weighing_refuses(world: World, change: str, kind: RefusalKind) -> None:
    """An ended token, a policy that can't be asked: no permit."""
    session = await connected(world)
    world.ruling, world.weighed = WEIGH, ALLOW
    hold = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(hold, Hold)
    if change == "time":
        world.time = 2000.0
    else:
        world.faults.on["decide"] = BOOM
    answer = await session.hold(hold.weighing(1), lambda _: None)
    assert isinstance(answer, Refusal)
    assert answer.kind is kind


async def test_what_is_to_be_weighed_may_be_prepared(world: World) -> None:
    """There is nothing to estimate before there are values."""
    session = await connected(world)
    world.ruling = WEIGH
    assert isinstance(session.judge(1, ACTION, Stage.PREPARE), Permit)
    assert "IntentRecorded" not in world.recorder.kinds()


async def test_a_policy_that_comes_to_need_an_estimate_stops_what_has_none(world: World) -> None:
    """A permit of an older policy is not renewed by one that wants to weigh."""
    session = await connected(world)
    permit = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(permit, Permit)
    world.ruling = WEIGH
    assert isinstance(session.renew(permit), Refusal)
    world.ruling, world.when_held = HOLD, [("ruling", WEIGH)]
    hold = session.judge(2, ACTION, Stage.RUN)
    assert isinstance(hold, Hold)
    answer = await session.hold(hold, lambda _: None)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.POLICY


async def held(world: World, session: GateSession) -> tuple[Permit | Refusal, list[str]]:
    """Judge ACTION, which policy holds, and wait."""
    world.ruling = HOLD
    hold = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(hold, Hold)
    told: list[str] = []
    return await session.hold(hold, told.append), told


async def test_an_approved_action_is_told_recorded_and_permitted(world: World) -> None:
    """Notice, approval, intent with the approver's name, permit."""
    session = await connected(world)
    answer, told = await held(world, session)
    assert isinstance(answer, Permit)
    assert told == ["held for approval by dba (request 7K2P, expires in 10 min): https://gw/a/7K2P"]
    assert world.recorder.kinds()[-2:] == ["ActionHeld", "IntentRecorded"]
    assert world.recorder.records[-1].approved_by == ("corp:ada",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("decision", Decision(approved=False)), RefusalKind.APPROVAL),
        (("decision", Decision(approved=False, by=("corp:ada",), reason="not today")), RefusalKind.APPROVAL),
        (("ruling", DENY), RefusalKind.POLICY),
        (("time", 2000.0), RefusalKind.EXPIRED),
    ],
)
async def test_what_changes_while_held_counts(world: World, change: tuple[str, object], kind: RefusalKind) -> None:
    """A denial, a changed policy, an ended token: an approval does not lift them."""
    session = await connected(world)
    world.when_held = [change]
    answer, _ = await held(world, session)
    assert isinstance(answer, Refusal)
    assert answer.kind is kind
    assert "IntentRecorded" not in world.recorder.kinds()


@pytest.mark.parametrize("port", ["request", "parameters", "ActionHeld", "decided", "IntentRecorded"])
async def test_a_port_that_raises_while_held_refuses(world: World, port: str) -> None:
    """No permit without a stored request, a record of it, and a decision."""
    session = await connected(world)
    world.faults.on[port] = BOOM
    answer, _ = await held(world, session)
    assert isinstance(answer, Refusal)


@pytest.mark.parametrize("port", ["ActionHeld", "decided", "IntentRecorded"])
async def test_a_hold_that_fails_is_withdrawn(world: World, port: str) -> None:
    """Nobody is left to approve what can't go on, and a withdrawal that fails changes nothing."""
    session = await connected(world)
    world.faults.on = {port: BOOM, "withdraw": BOOM}
    answer, _ = await held(world, session)
    assert isinstance(answer, Refusal)
    assert world.withdrawn == ["the gateway could not go on with it"]


async def test_a_cancelled_hold_is_withdrawn(world: World) -> None:
    """A late approval finds nothing to approve."""
    session = await connected(world)
    world.faults.on["decided"] = "hang"
    task = asyncio.ensure_future(held(world, session))
    await world.requested.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.withdrawn


async def test_prepare_of_a_held_statement_is_permitted_and_not_recorded(world: World) -> None:
    """Making ready runs nothing: the hold comes when the statement would run."""
    session = await connected(world)
    world.ruling = HOLD
    assert isinstance(session.judge(1, ACTION, Stage.PREPARE), Permit)
    assert "IntentRecorded" not in world.recorder.kinds()


async def test_what_is_said_of_a_prepared_statement_is_masked_as_said_of_it(world: World) -> None:
    """While it is among those that a session remembers; else as if it were outside any command."""
    session = await connected(world)
    for action_id in range(1, gate_module.MAX_PREPARED + 2):
        assert isinstance(session.judge(action_id, ACTION, Stage.PREPARE), Permit)
    fields = Result(ResultKind.DIAGNOSTIC, (Column("M", None, ValueKind.TEXT),), TextFields([b"x"]))
    for action_id in (1, 2, 99):
        assert isinstance(session.release(action_id, fields)[0], Result)
    assert [action is ACTION for action in world.masked_for] == [False, True, False]


async def test_a_permit_of_an_older_policy_is_judged_anew(world: World) -> None:
    """Renewal refuses what the policy of now would not allow."""
    session = await connected(world)
    permit = session.judge(1, ACTION, Stage.RUN)
    assert isinstance(permit, Permit)
    assert isinstance(session.renew(permit), Permit)
    for ruling in (DENY, HOLD):
        world.ruling = ruling
        assert isinstance(session.renew(permit), Refusal)
    world.ruling = ALLOW
    assert isinstance(session.renew(Permit("other", 1, release=True, version=1)), Refusal)


@pytest.mark.parametrize("port", ["masker", "mask", "recorder.later"])
async def test_a_result_that_cannot_be_masked_or_recorded_is_not_released(world: World, port: str) -> None:
    """Masking refusals carry no value."""
    session = await connected(world)
    session.judge(1, ACTION, Stage.RUN)
    world.faults.on[port] = BOOM
    result = Result(ResultKind.ROWS, (Column("email", None, ValueKind.TEXT),), TextFields([b"a@b.example"]))
    answer, clear = session.release(1, result)
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.MASKING
    assert not clear


async def test_the_end_takes_the_credential_back_and_seals(world: World) -> None:
    """Revocation is confirmed in the record."""
    session = await connected(world)
    session.judge(1, ACTION, Stage.RUN)
    session.observe(1, Outcome("ok", "DELETE 1", 0, 0))
    await session.end("the client said goodbye")
    ended = world.recorder.records[-1]
    assert ended.credential == "role ostiary_x dropped, 0 backends left"  # type: ignore[union-attr]
    assert world.recorder.closed == "the client said goodbye"


@pytest.mark.parametrize("port", ["revoke", "recorder.write"])
async def test_the_end_never_raises(world: World, port: str) -> None:
    """A credential that could not be taken back is said loudly; the recording still closes."""
    session = await connected(world)
    world.faults.on[port] = BOOM
    await session.end("gone")
    assert world.recorder.closed is not None
