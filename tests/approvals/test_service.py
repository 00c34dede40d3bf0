"""Waiting: expiry, withdrawal, binding, restarts, a store that fails."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from ostiary.approvals import ApprovalDesk, ApprovalGroup, ApprovalService, ApprovalState, Limits, Settled
from ostiary.approvals.model import STALE_SECONDS
from ostiary.core import RefusalKind
from ostiary.gate.ports import Decision, HoldRequest, Refused
from ostiary.store import StoreError
from tests.approvals.conftest import House
from tests.approvals.fakes import ACTION, DANA, GROUPS, HELD, JOB, NOW, held


async def run_sql(house: House, statement: str, **values: Any) -> None:
    """Change the store behind the service's back."""
    async with house.store.write() as connection:
        await connection.execute(text(statement), values)


async def test_the_notice(house: House) -> None:
    """The notice names groups, code, expiry and where to go; without a URL, the command."""
    pending = await house.service.request(held(groups=("dba", "pair")))
    code = pending.approval_id
    assert pending.notice == (
        f"held for approval by dba and 2 of pair (request {code}, expires in 10 min): https://gw.example.com/a/{code}"
    )
    bare = ApprovalService(house.store.approvals, GROUPS, house.clock, "", "node-2")
    await bare.start()
    other = await bare.request(held("s-9", ("security",)))
    assert other.notice == (
        f"held for approval by security (request {other.approval_id}, expires in 5 min): "
        f"ostiary approvals approve {other.approval_id}"
    )
    await bare.stop()


async def test_waiting_ends_with_a_decision_made_elsewhere(house: House) -> None:
    """A decision another process writes is found by polling."""
    pending = await house.service.request(held())
    waiting = asyncio.create_task(pending.decided())
    await house.desk.decide(pending.approval_id, DANA, True, "go on")
    assert await waiting == Decision(True, ("corp:dana",), "go on")


async def test_a_decision_of_this_process_wakes_the_poller(house: House) -> None:
    """With a poll interval of an hour, the desk's callback is what ends the wait."""
    service = ApprovalService(house.store.approvals, GROUPS, house.clock, "", "node-2", poll_seconds=3600.0)
    await service.start()
    pending = await service.request(held())
    waiting = asyncio.create_task(pending.decided())
    desk = ApprovalDesk(house.store.approvals, GROUPS, house.clock, service.wake)
    await desk.decide(pending.approval_id, DANA, False, "no")
    assert await waiting == Decision(False, ("corp:dana",), "no")
    await service.stop()


async def test_nothing_is_polled_when_nothing_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is left alone between requests."""
    pending = await house.service.request(held())
    await house.desk.decide(pending.approval_id, DANA, True)
    await pending.decided()
    asked = []
    monkeypatch.setattr(house.service, "_check", lambda: asked.append(1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.Event().wait()
    assert asked == []


async def test_expiry(house: House) -> None:
    """When nobody answers in time, the decision is no by nobody, and a late yes is refused."""
    pending = await house.service.request(held())
    waiting = asyncio.create_task(pending.decided())
    house.clock.now += 600.0
    assert await waiting == Decision(False)
    with pytest.raises(Settled, match="expired"):
        await house.desk.decide(pending.approval_id, DANA, True)
    assert (await house.store.approvals.get(pending.approval_id)).state is ApprovalState.EXPIRED  # type: ignore[union-attr]


async def test_the_shortest_timeout_counts(house: House) -> None:
    """A request of several groups expires with the most impatient of them."""
    pending = await house.service.request(held(groups=("dba", "security")))
    assert (await house.desk.show(pending.approval_id)).request.expires_at == NOW + 300


async def test_a_request_does_not_outlive_its_session(house: House) -> None:
    """The session's end is the latest expiry."""
    brief = replace(HELD, principal=replace(JOB, session_until=NOW + 60))
    pending = await house.service.request(brief)
    assert "expires in 60 s" in pending.notice
    with pytest.raises(Refused, match="the session ends before"):
        await house.service.request(replace(HELD, principal=replace(JOB, session_until=NOW)))


async def test_withdrawn_then_approved(house: House) -> None:
    """After a withdrawal an approval fails, and so does waiting."""
    pending = await house.service.request(held())
    await pending.withdraw("the client cancelled or went away")
    with pytest.raises(Settled, match="withdrawn"):
        await house.desk.decide(pending.approval_id, DANA, True)
    pending.settled.set()
    with pytest.raises(Refused, match="withdrawn"):
        await pending.decided()


async def test_approved_then_withdrawn(house: House) -> None:
    """An approval that was not used yet can be withdrawn, and is then void."""
    pending = await house.service.request(held())
    await house.desk.decide(pending.approval_id, DANA, True)
    await pending.withdraw("gone")
    pending.settled.set()
    with pytest.raises(Refused, match="withdrawn"):
        await pending.decided()


async def test_cancelled_while_waiting(house: House) -> None:
    """A cancelled wait followed by a withdrawal, as the gate does it, leaves a withdrawn request."""
    pending = await house.service.request(held())
    waiting = asyncio.create_task(pending.decided())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await pending.withdraw("the client cancelled or went away")
    assert (await house.desk.show(pending.approval_id)).state is ApprovalState.WITHDRAWN
    assert house.service._waiting == {}


async def test_an_approval_must_be_used_soon(house: House) -> None:
    """An approval nobody used within STALE_SECONDS is void."""
    pending = await house.service.request(held())
    await house.desk.decide(pending.approval_id, DANA, True)
    await pending.settled.wait()
    house.clock.now += STALE_SECONDS
    with pytest.raises(Refused, match="given too long ago"):
        await pending.decided()


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (("dba", "nobody"), 'needs approval by "nobody", and no such approval group is configured'),
        ((), "names no group"),
    ],
)
async def test_a_group_nobody_configured(house: House, groups: tuple[str, ...], says: str) -> None:
    """A hold that nobody could lift is refused at once, naming group and configuration key."""
    with pytest.raises(Refused, match=says) as error:
        await house.service.request(held(groups=groups))
    assert error.value.refusal.kind is RefusalKind.APPROVAL
    assert "@approval" in error.value.refusal.hint or "approvals: nobody" in error.value.refusal.hint
    assert await house.desk.list_pending() == []


@pytest.mark.parametrize(
    "change",
    [
        "text = 'DELETE FROM orders WHERE id > 100000'",
        "parameters = '[\"9\"]'",
        'quorums = \'[{"group": "sales", "required": 1}]\'',
        "session_id = 's-2'",
        "action_id = 6",
        "target = 'payments'",
        "subject = 'somebody'",
        "digest = 'abc'",
        "owner = 'abc'",
        "expires_at = expires_at + 1",
        "rows_estimate = 1",
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_row_changed_in_the_store(house: House, change: str, when: str) -> None:
    """An approval of anything but the live request is refused, whenever the row was changed."""
    pending = await house.service.request(held())
    if when == "before":
        await run_sql(house, f"UPDATE approvals SET {change}")
    await run_sql(
        house,
        "UPDATE approvals SET state = 'approved', revision = 1, decided_at = :now, votes = :votes",
        now=NOW,
        votes='[{"by": "corp:dana", "groups": ["dba"], "approve": true, "reason": "", "at": 1.0}]',
    )
    if when == "after":
        await run_sql(house, f"UPDATE approvals SET {change}")
    with pytest.raises(Refused, match="changed in the state store"):
        await pending.decided()


async def test_the_row_says_approved_but_nobody_did(house: House) -> None:
    """A state without the votes that lead to it approves nothing; a vanished row neither."""
    pending = await house.service.request(held())
    await run_sql(house, "UPDATE approvals SET state = 'approved', decided_at = :now", now=NOW)
    with pytest.raises(Refused, match="lacks approvals"):
        await pending.decided()
    other = await house.service.request(held("s-2"))
    await run_sql(house, "DELETE FROM approvals")
    with pytest.raises(Refused, match="no longer in the state store"):
        await other.decided()


async def test_the_live_command_is_what_was_approved(house: House) -> None:
    """If the command in hand is another than the stored one, its approval is void."""
    pending = await house.service.request(held())
    pending.live = replace(pending.live, action=replace(ACTION, text="DROP TABLE orders"))
    await house.desk.decide(pending.approval_id, DANA, True)
    with pytest.raises(Refused, match="not for exactly this command"):
        await pending.decided()


async def test_a_restarted_process_withdraws_what_it_left(house: House) -> None:
    """A new run under the same name withdraws the old run's requests; another node's living ones stay."""
    mine = await house.service.request(held("s-1"))
    other = ApprovalService(house.store.approvals, GROUPS, house.clock, "", "node-2")
    await other.start()
    theirs = await other.request(held("s-2"))
    again = ApprovalService(house.store.approvals, GROUPS, house.clock, "", "node-1")
    await again.start()
    assert (await house.desk.show(mine.approval_id)).state is ApprovalState.WITHDRAWN
    assert (await house.desk.show(theirs.approval_id)).state is ApprovalState.PENDING
    with pytest.raises(Refused, match="the gateway process that held it ended"):
        await mine.decided()
    await again.stop()
    await other.stop()


async def test_a_silent_owner_is_dead(house: House) -> None:
    """Without a sign of life a request can't be approved, is not listed, and the next start withdraws it."""
    pending = await house.service.request(held())
    poller = house.service._poller
    assert poller is not None
    poller.cancel()
    house.clock.now += STALE_SECONDS
    assert await house.desk.list_pending() == []
    with pytest.raises(Settled, match="does not answer"):
        await house.desk.decide(pending.approval_id, DANA, True)
    other = ApprovalService(house.store.approvals, GROUPS, house.clock, "", "node-2")
    await other.start()
    await other.stop()
    assert (await house.desk.show(pending.approval_id)).state is ApprovalState.WITHDRAWN


async def test_a_living_owner_beats(house: House) -> None:
    """While a request waits its owner gives signs of life."""
    pending = await house.service.request(held())
    house.clock.now += STALE_SECONDS + 1
    while (await house.desk.show(pending.approval_id)).heartbeat_at < house.clock.now:
        house.service.wake()
    after = await house.desk.decide(pending.approval_id, DANA, True)
    assert after.state is ApprovalState.APPROVED


async def test_stopping_withdraws(house: House) -> None:
    """A stopping gateway withdraws its requests, refuses who waits, and takes no more."""
    pending = await house.service.request(held())
    waiting = asyncio.create_task(pending.decided())
    await asyncio.sleep(0)
    await house.service.stop()
    with pytest.raises(Refused, match="shutting down"):
        await waiting
    assert (await house.desk.show(pending.approval_id)).state is ApprovalState.WITHDRAWN
    with pytest.raises(Refused, match="starting or stopping"):
        await house.service.request(held())


@pytest.mark.parametrize("fails", ["still_pending", "beat", "get", "consume"])
@pytest.mark.parametrize("error", [StoreError("the state store failed"), OSError("no space"), TimeoutError()])
async def test_a_store_that_fails_while_waiting(
    house: House, monkeypatch: pytest.MonkeyPatch, fails: str, error: Exception
) -> None:
    """Whatever the store raises, the waiting command is refused with a sentence."""

    async def broken(*_args: object) -> None:
        raise error

    pending = await house.service.request(held())
    monkeypatch.setattr(house.store.approvals, fails, broken)
    if fails in {"get", "consume"}:
        await house.desk.decide(pending.approval_id, DANA, True)
    house.clock.now += 6
    with pytest.raises(Refused, match="the gateway's state store failed") as refused:
        await pending.decided()
    assert refused.value.refusal.kind is RefusalKind.APPROVAL
    assert refused.value.refusal.hint


async def test_a_store_that_never_answers(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence of the store is a failure of the store."""
    monkeypatch.setattr("ostiary.approvals.service.STORE_SECONDS", 0.01)
    monkeypatch.setattr(house.store.approvals, "add", lambda *_: asyncio.Event().wait())
    with pytest.raises(Refused, match="state store failed"):
        await house.service.request(held())


async def test_a_failed_withdrawal_is_not_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate withdraws while it cleans up: it must not raise."""
    pending = await house.service.request(held())

    async def broken(*_args: object) -> None:
        raise StoreError("the state store failed")

    monkeypatch.setattr(house.store.approvals, "withdraw", broken)
    await pending.withdraw("gone")
    assert house.service._waiting == {}


@pytest.mark.parametrize(
    ("limits", "other", "says"),
    [
        (Limits(per_session=1), held("s-1"), "of this session"),
        (Limits(per_principal=1), held("s-2"), "of this identity"),
        (Limits(overall=1), replace(held("s-2"), principal=DANA), "at this gateway"),
    ],
)
async def test_limits(house: House, limits: Limits, other: HoldRequest, says: str) -> None:
    """Requests beyond a limit are refused, and taken again once there is room."""
    house.service._limits = limits
    first = await house.service.request(held("s-1"))
    with pytest.raises(Refused, match=f"too many commands .*{says}"):
        await house.service.request(other)
    await first.withdraw("done")
    await house.service.request(other)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: replace(held, action=replace(ACTION, text="x" * 65537)),
        lambda held: replace(held, parameters=("x" * 40000, "x" * 40000)),
    ],
)
async def test_too_long_to_read(house: House, change: Callable[[HoldRequest], HoldRequest]) -> None:
    """What nobody would read before approving is refused."""
    with pytest.raises(Refused, match="too long for a person to read"):
        await house.service.request(change(HELD))


async def test_a_taken_code_is_drawn_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision of codes costs another draw, and endless collisions a refusal."""
    codes = iter(["AAAAAAAA", "AAAAAAAA", "BBBBBBBB"] + ["AAAAAAAA"] * 5)
    monkeypatch.setattr("ostiary.approvals.service.new_code", lambda: next(codes))
    assert (await house.service.request(held("s-1"))).approval_id == "AAAAAAAA"
    assert (await house.service.request(held("s-2"))).approval_id == "BBBBBBBB"
    with pytest.raises(Refused, match="no free request code"):
        await house.service.request(held("s-3"))


async def test_old_requests_are_pruned(house: House) -> None:
    """Settled requests go after the kept days; younger ones stay."""
    old = await house.service.request(held("s-1"))
    await old.withdraw("done")
    house.clock.now += 89 * 86_400
    young = await house.service.request(replace(held("s-2"), principal=replace(JOB, session_until=NOW + 9e9)))
    await young.withdraw("done")
    house.clock.now += 2 * 86_400
    last = await house.service.request(replace(held("s-3"), principal=replace(JOB, session_until=NOW + 9e9)))
    await house.desk.decide(last.approval_id, replace(DANA, expires_at=NOW + 9e9), True)
    await last.decided()
    while await house.store.approvals.get(old.approval_id) is not None:
        house.service.wake()
        house.service._waiting[last.approval_id] = last
    assert await house.store.approvals.get(young.approval_id) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"groups": frozenset({"dba"}), "required": 0},
        {"groups": frozenset({"dba"}), "timeout": 0.0},
        {"groups": frozenset({"dba"}), "timeout": float("nan")},
        {"principals": frozenset({"corp:sam"}), "required": 2},
    ],
)
def test_groups_that_cannot_work(wrong: dict[str, Any]) -> None:
    """A group without members, people or time is an error of the configuration."""
    with pytest.raises(ValueError, match=r"required|needs"):
        ApprovalGroup(**wrong)


async def test_cancelled_at_any_step(house: House) -> None:
    """Wherever a cancellation falls, the request ends used or withdrawn and the store goes on working."""
    for steps in range(25):
        pending = await house.service.request(held(f"s-{steps}"))
        await house.desk.decide(pending.approval_id, DANA, True)
        await pending.settled.wait()
        waiting = asyncio.create_task(pending.decided())
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await pending.withdraw("the client cancelled or went away")
        state = (await house.desk.show(pending.approval_id)).state
        assert state in {ApprovalState.CONSUMED, ApprovalState.WITHDRAWN}
        if not waiting.cancelled() and waiting.exception() is None:
            assert state is ApprovalState.CONSUMED
