"""What every database must do for approvals: the same checks run on SQLite and on real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from ostiary.approvals import (
    Admission,
    Approval,
    ApprovalDesk,
    ApprovalRequest,
    ApprovalState,
    Limits,
    Quorum,
    Settled,
    Vote,
)
from ostiary.store import Store
from tests.approvals.fakes import DANA, DREW, GROUPS, NOW

REQUEST = ApprovalRequest(
    code="7K2P7K2P",
    session_id="s-1",
    action_id=2**40,
    principal_kind="workload",
    issuer="ci",
    subject="shop",
    principal_groups=("dba", "ünïcode"),
    target="orders",
    text="DELETE FROM \"orders\" -- 'é' \U0001f600\n",
    parameters=("7", None, "", "a,b'\"\\"),
    accesses=("delete orders/public.orders",),
    summary="DELETE without WHERE",
    rules=("hold-deletes",),
    reason="a reason",
    quorums=(Quorum("dba", 1),),
    rows_estimate=None,
    digest="d" * 64,
    created_at=NOW + 0.123456,
    expires_at=NOW + 600.654321,
    node="node-1",
    owner="run-1",
)
ASKED = Approval(REQUEST, heartbeat_at=NOW)
YES = Vote("corp:dana", ("dba",), True, "fine", NOW + 1)
ALIVE = NOW - 30


def asked(code: str, *, node: str = "node-1", owner: str = "run-1", heartbeat_at: float = NOW) -> Approval:
    """A pending approval of another code."""
    return Approval(replace(REQUEST, code=code, session_id=code, node=node, owner=owner), heartbeat_at)


async def exact(one: Store, two: Store) -> None:
    """What was stored comes back exactly, before and after a vote, through another connection."""
    assert await one.approvals.add(ASKED, Limits()) is Admission.STORED
    assert await two.approvals.get(REQUEST.code) == ASKED
    assert await one.approvals.add(ASKED, Limits()) is Admission.CODE_TAKEN
    after = ASKED.with_vote(YES)
    assert await two.approvals.vote(ASKED, after, NOW, ALIVE)
    assert await one.approvals.get(REQUEST.code) == after
    assert await one.approvals.get("nothing") is None


async def guards(one: Store, two: Store) -> None:
    """A vote needs state, revision, digest, time and a living owner; consuming needs all that it names."""
    await one.approvals.add(ASKED, Limits())
    yes = ASKED.with_vote(YES)
    vote = two.approvals.vote
    assert not await vote(replace(ASKED, revision=1), yes, NOW, ALIVE)
    assert not await vote(replace(ASKED, request=replace(REQUEST, digest="e" * 64)), yes, NOW, ALIVE)
    assert not await vote(ASKED, yes, REQUEST.expires_at, ALIVE)
    assert not await vote(ASKED, yes, NOW, NOW)
    consume = one.approvals.consume
    assert not await consume(replace(yes, revision=0), REQUEST.digest, NOW)
    assert await vote(ASKED, yes, NOW, ALIVE)
    assert not await vote(ASKED, yes, NOW, ALIVE)
    assert not await consume(yes, "e" * 64, NOW)
    assert not await consume(yes, REQUEST.digest, NOW + 1)
    assert not await consume(replace(yes, request=replace(REQUEST, owner="run-2")), REQUEST.digest, NOW)
    assert not await consume(replace(yes, revision=2), REQUEST.digest, NOW)
    assert await consume(yes, REQUEST.digest, NOW)
    assert not await consume(yes, REQUEST.digest, NOW)
    assert not await one.approvals.withdraw(REQUEST.code, "late", NOW)


async def housekeeping(one: Store, two: Store) -> None:
    """Expiry, heartbeats, orphans and pruning touch what they name and nothing else."""
    repository = one.approvals
    for approval in (
        asked("OLDRUN", owner="run-0"),
        asked("MINE"),
        asked("THEIRS", node="node-2", owner="run-9"),
        asked("SILENT", node="node-2", owner="run-8", heartbeat_at=ALIVE),
    ):
        await repository.add(approval, Limits())
    open_now = [approval.request.code for approval in await two.approvals.pending(NOW, ALIVE)]
    assert open_now == ["MINE", "OLDRUN", "THEIRS"]
    assert await two.approvals.withdraw_orphans("node-1", "run-1", ALIVE, "ended", NOW) == 2
    assert await repository.still_pending(["OLDRUN", "MINE", "THEIRS", "SILENT", "NONE"]) == {"MINE", "THEIRS"}
    await repository.beat(["MINE", "SILENT"], NOW + 50)
    beaten = await two.approvals.pending(NOW, NOW + 40)
    assert [approval.request.code for approval in beaten] == ["MINE"]
    assert await repository.expire(REQUEST.expires_at - 1) == 0
    assert await repository.prune(NOW) == 0
    assert await repository.expire(REQUEST.expires_at) == 2
    expired = await two.approvals.get("MINE")
    assert expired is not None
    assert (expired.state, expired.decided_at) == (ApprovalState.EXPIRED, REQUEST.expires_at)
    assert await repository.prune(NOW + 1) == 4
    assert await repository.still_pending([]) == set()


async def races(one: Store, two: Store) -> None:
    """Of any two changes at the same instant on one request, exactly one wins, in every pairing."""

    async def deny(approval: Approval) -> bool:
        after = approval.with_vote(replace(YES, by="corp:drew", approve=False))
        return await two.approvals.vote(approval, after, NOW, ALIVE)

    async def approve(approval: Approval) -> bool:
        return await one.approvals.vote(approval, approval.with_vote(YES), NOW, ALIVE)

    async def expire(_: Approval) -> bool:
        return await two.approvals.expire(NOW + 601) == 1

    async def withdraw(approval: Approval) -> bool:
        return await two.approvals.withdraw(approval.request.code, "gone", NOW)

    async def consume(approval: Approval) -> bool:
        return await one.approvals.consume(approval, REQUEST.digest, NOW)

    moves: list[Callable[[Approval], Awaitable[bool]]] = [approve, deny, expire, deny, expire, withdraw]
    # `withdraw` also takes an approved request, so it is paired with `approve` below.
    for number, (first, second) in enumerate(pairwise(moves)):
        approval = asked(f"PAIR{number}")
        await one.approvals.add(approval, Limits(per_principal=1000))
        assert sum(await asyncio.gather(first(approval), second(approval), first(approval))) == 1
    for number, second in enumerate((consume, withdraw)):
        approval = asked(f"USE{number}")
        await one.approvals.add(approval, Limits(per_principal=1000))
        assert await approve(approval)
        approved = approval.with_vote(YES)
        assert sum(await asyncio.gather(consume(approved), second(approved), consume(approved))) == 1


async def desks(one: Store, two: Store) -> None:
    """Two desks on two connections deciding at once: one decision, and the other is told whose."""
    await one.approvals.add(ASKED, Limits())
    here, there = (ApprovalDesk(store.approvals, GROUPS, lambda: NOW) for store in (one, two))
    outcomes = await asyncio.gather(
        here.decide(REQUEST.code, DANA, True), there.decide(REQUEST.code, DREW, False), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)] == [Settled]


CHECKS = pytest.mark.parametrize(
    "check", [exact, guards, housekeeping, races, desks], ids=lambda check: str(check.__name__)
)
