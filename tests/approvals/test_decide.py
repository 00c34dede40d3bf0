"""Who may decide what, and when: through the service, the desk and one real SQLite file."""

import asyncio
from dataclasses import replace

import pytest

from ostiary.approvals import ApprovalError, ApprovalState, Changed, NotAllowed, Settled, UnknownRequest
from ostiary.core import Principal
from ostiary.gate.ports import Decision, Refused
from tests.approvals.conftest import House
from tests.approvals.fakes import DANA, DREW, EVE, JOB, NOW, SAM, held

TABLE: list[tuple[str, tuple[str, ...], list[tuple[Principal, bool]], ApprovalState]] = [
    ("one member approves", ("dba",), [(DANA, True)], ApprovalState.CONSUMED),
    ("one member denies", ("dba",), [(DANA, False)], ApprovalState.DENIED),
    ("one of two groups is not enough", ("dba", "security"), [(DANA, True)], ApprovalState.PENDING),
    ("one of each of two groups", ("dba", "security"), [(DANA, True), (SAM, True)], ApprovalState.CONSUMED),
    ("a denial outweighs approvals", ("dba", "security"), [(DANA, True), (SAM, False)], ApprovalState.DENIED),
    ("a member may think again", ("dba", "security"), [(DANA, True), (DANA, False)], ApprovalState.DENIED),
    ("one of two people", ("pair",), [(DANA, True)], ApprovalState.PENDING),
    ("two of two people", ("pair",), [(DANA, True), (DREW, True)], ApprovalState.CONSUMED),
    ("one person stands for both groups", ("dba", "pair"), [(DANA, True), (DREW, True)], ApprovalState.CONSUMED),
    ("a group named twice is one group", ("dba", "dba"), [(DANA, True)], ApprovalState.CONSUMED),
]


@pytest.mark.parametrize(("groups", "votes", "state"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
async def test_votes(
    house: House, groups: tuple[str, ...], votes: list[tuple[Principal, bool]], state: ApprovalState
) -> None:
    """A request ends as its table row says, and only a complete approval comes back approved."""
    pending = await house.service.request(held(groups=groups))
    for approver, approve in votes:
        await house.desk.decide(pending.approval_id, approver, approve, f"says {approver.subject}")
    if state is ApprovalState.PENDING:
        await pending.withdraw("the test is over")
        return
    decision = await pending.decided()
    assert (await house.desk.show(pending.approval_id)).state is state
    if state is ApprovalState.CONSUMED:
        by = tuple(approver.id for approver, _ in votes)
        assert decision == Decision(True, by, "; ".join(f"says {approver.subject}" for approver, _ in votes))
    else:
        assert decision == Decision(False, (votes[-1][0].id,), f"says {votes[-1][0].subject}")


async def test_a_decision_for_what_was_seen(house: House) -> None:
    """It is not counted when somebody else's was counted since."""
    pending = await house.service.request(held(groups=("pair",)))
    code = pending.approval_id
    seen = (await house.desk.show(code)).revision
    await house.desk.decide(code, DANA, True, revision=seen)
    with pytest.raises(Changed, match="has changed since you looked"):
        await house.desk.decide(code, DREW, True, revision=seen)
    assert (await house.desk.decide(code, DREW, True, revision=seen + 1)).approvers == (DANA.id, DREW.id)
    await pending.decided()


async def test_what_a_decision_still_lacks(house: House) -> None:
    """The answer to an approver names the groups and numbers still missing."""
    pending = await house.service.request(held(groups=("pair", "security")))
    after = await house.desk.decide(pending.approval_id, DANA, True)
    assert [str(quorum) for quorum in after.missing] == ["pair", "security"]
    assert after.state is ApprovalState.PENDING
    assert after.approvers == ("corp:dana",)


@pytest.mark.parametrize(
    ("approver", "says"),
    [
        (JOB, "is your own"),
        (replace(JOB, groups=frozenset({"dba", "admins"})), "is your own"),
        (EVE, "corp:eve is not a member of dba"),
        (SAM, "corp:sam is not a member of dba"),
        (replace(DANA, expires_at=NOW), "your token has expired"),
    ],
)
@pytest.mark.parametrize("approve", [True, False])
async def test_who_may_not_decide(house: House, approver: Principal, says: str, approve: bool) -> None:
    """The requester, outsiders and expired tokens neither approve nor deny."""
    pending = await house.service.request(held())
    with pytest.raises(NotAllowed, match=says) as error:
        await house.desk.decide(pending.approval_id, approver, approve)
    assert error.value.hint
    assert (await house.desk.show(pending.approval_id)).state is ApprovalState.PENDING


async def test_nobody_counts_twice(house: House) -> None:
    """A second approval by the same person is refused, and does not fill a quorum of two."""
    pending = await house.service.request(held(groups=("pair",)))
    await house.desk.decide(pending.approval_id, DANA, True)
    with pytest.raises(NotAllowed, match=r"has approved request .* already") as error:
        await house.desk.decide(pending.approval_id, DANA, True)
    assert error.value.hint == "it still needs pair"
    assert (await house.desk.show(pending.approval_id)).state is ApprovalState.PENDING


async def test_a_group_that_left_the_configuration_admits_nobody(house: House) -> None:
    """A desk whose configuration lacks the group refuses everyone."""
    pending = await house.service.request(held())
    house.desk._groups = {}
    with pytest.raises(NotAllowed, match="not a member"):
        await house.desk.decide(pending.approval_id, DANA, True)


async def test_settled_requests_say_by_whom(house: House) -> None:
    """A decision on a decided, expired or withdrawn request names what happened to it."""
    denied = await house.service.request(held("s-1"))
    approved = await house.service.request(held("s-2"))
    withdrawn = await house.service.request(held("s-3"))
    expired = await house.service.request(held("s-4"))
    await house.desk.decide(denied.approval_id, DANA, False)
    await house.desk.decide(approved.approval_id, DANA, True)
    await withdrawn.withdraw("the client cancelled or went away")
    for pending, says in (
        (denied, "was denied by corp:dana at 08:00:00 UTC"),
        (approved, "was approved by corp:dana at 08:00:00 UTC"),
        (withdrawn, "was withdrawn at 08:00:00 UTC: the client cancelled or went away"),
    ):
        with pytest.raises(Settled, match=says):
            await house.desk.decide(pending.approval_id, DREW, True)
    house.clock.now += 600.0
    with pytest.raises(Settled, match=f"request {expired.approval_id} expired at 08:10:00 UTC"):
        await house.desk.decide(expired.approval_id, DREW, True)


@pytest.mark.parametrize(("code", "shown"), [("NOPE", '"NOPE"'), ("A\x1b[31m", "unprintable"), ("x" * 99, "unprint")])
async def test_an_unknown_code(house: House, code: str, shown: str) -> None:
    """An unknown code is named when it can be shown, with the command that lists codes."""
    with pytest.raises(UnknownRequest, match=shown) as error:
        await house.desk.decide(code, DANA, True)
    assert "ostiary approvals list" in error.value.hint


async def test_a_code_as_people_type_it(house: House) -> None:
    """Case, hyphens and the letters Crockford's alphabet leaves out are read as meant."""
    pending = await house.service.request(held())
    code = pending.approval_id
    typed = f" {code[:4]}-{code[4:]}".lower().replace("0", "o").replace("1", "l")
    assert (await house.desk.show(typed)).request.code == code


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines", "\x1b[2J"])
async def test_an_unfit_reason(house: House, reason: str) -> None:
    """A reason that is too long or would steer a terminal is not taken."""
    pending = await house.service.request(held())
    with pytest.raises(ApprovalError, match="the reason"):
        await house.desk.decide(pending.approval_id, DANA, True, reason)


async def test_what_the_list_shows(house: House) -> None:
    """Everything an approver needs is in the list, in order of asking; what can't be decided is not."""
    first = await house.service.request(held("s-1"))
    house.clock.now += 1
    second = await house.service.request(held("s-2"))
    third = await house.service.request(held("s-3"))
    await third.withdraw("gone")
    shown = await house.desk.list_pending()
    assert [approval.request.code for approval in shown] == [first.approval_id, second.approval_id]
    request = shown[0].request
    assert (request.principal, request.principal_groups, request.target) == ("ci:shop", ("dba",), "orders")
    assert (request.text, request.parameters) == ("DELETE FROM orders WHERE id > $1", ("7",))
    assert (request.accesses, request.rows_estimate) == (("delete orders/public.orders",), 1200)
    assert (request.summary, request.reason) == ("DELETE without WHERE on public.orders", "deletes need a second pair")
    assert (request.rules, request.session_id, request.action_id) == (("hold-deletes",), "s-1", 5)
    house.clock.now = NOW + 600
    assert [approval.request.code for approval in await house.desk.list_pending()] == []


async def test_two_approvers_at_once(house: House) -> None:
    """Of many simultaneous decisions on one request exactly one is counted."""
    for round_ in range(5):
        pending = await house.service.request(held(f"s-{round_}"))
        outcomes = await asyncio.gather(
            *(house.desk.decide(pending.approval_id, who, yes) for who in (DANA, DREW) for yes in (True, False)),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(won) == 1
        assert all(isinstance(outcome, Settled) for outcome in outcomes if isinstance(outcome, BaseException))
        decision = await pending.decided()
        assert decision.approved is (won[0].state is ApprovalState.APPROVED)
        assert decision.by == (won[0].votes[0].by,)


async def test_votes_of_a_pair_at_once_both_count(house: House) -> None:
    """Two simultaneous approvals of a request that needs two are both counted, whichever comes first."""
    pending = await house.service.request(held(groups=("pair",)))
    await asyncio.gather(*(house.desk.decide(pending.approval_id, who, True) for who in (DANA, DREW)))
    decision = await pending.decided()
    assert decision.approved
    assert set(decision.by) == {"corp:dana", "corp:drew"}


async def test_an_approval_is_good_for_one_use(house: House) -> None:
    """Asked again, a consumed approval is refused; asked twice at once, exactly one gets it."""
    pending = await house.service.request(held())
    await house.desk.decide(pending.approval_id, DANA, True)
    outcomes = await asyncio.gather(pending.decided(), pending.decided(), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Decision", "Refused"]
    with pytest.raises(Refused, match="has been used already"):
        await pending.decided()
