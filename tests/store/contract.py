"""What every database must do for approvals: the same checks run on SQLite and on real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from ostiary.accounts import AccountKey, KeyKind, ServiceAccount
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
from ostiary.resources import Key, ResourceKind, StoredResource
from ostiary.runtime.presence import EndRequest, Presence
from ostiary.store import Store
from tests.approvals.fakes import DANA, DREW, GROUPS, NOW
from tests.store.people_contract import people_admin, people_codes, people_devices, people_logins

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
KEY = AccountKey("0001", "billing", KeyKind.SECRET, "ab" * 32, NOW + 0.123456, None)
ORDERS = StoredResource(
    ResourceKind.TARGET, "orders", {"labels": {"ü": "a'b\""}, "databases": ["x"], "off": False, "ttl": 3600.5}
)
ACCOUNT = ServiceAccount(
    "billing", "ünïcode's", ("app", "b"), ("orders",), ("10.0.0.0/8",), NOW, NOW + 999.5, keys=(KEY,)
)
YES = Vote("corp:dana", ("dba",), True, "fine", NOW + 1)
ALIVE = NOW - 30


def asked(code: str, *, node: str = "node-1", owner: str = "run-1", heartbeat_at: float = NOW) -> Approval:
    """A pending approval of another code."""
    return Approval(replace(REQUEST, code=code, session_id=code, node=node, owner=owner), heartbeat_at)


def key(key_id: str, account: str = "billing", created_at: float = NOW + 1, **more: float) -> AccountKey:
    """Another key."""
    return AccountKey(key_id, account, KeyKind.PUBLIC_KEY, "{}", created_at, **more)


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


async def accounts(one: Store, two: Store) -> None:
    """Service accounts come back exactly; each change counts, and touches what it names."""
    here, there = one.accounts, two.accounts
    assert await here.add(ACCOUNT)
    assert not await there.add(replace(ACCOUNT, owner="thief", keys=(key("0002"),)))
    assert await there.get("billing") == ACCOUNT
    assert await there.of_key(KEY.key_id) == ACCOUNT
    assert await there.get("nobody") is await there.of_key("0002") is None
    assert await here.add(replace(ACCOUNT, name="a", keys=()))
    assert [(each.name, len(each.keys)) for each in await there.all()] == [("a", 0), ("billing", 1)]
    assert set(await here.named(["billing", "nobody"])) == {"billing"}
    assert await here.named([]) == {}
    assert await there.disable("billing", NOW)
    assert not await there.disable("billing", NOW + 1)
    disabled = await here.get("billing")
    assert disabled == replace(ACCOUNT, disabled_at=NOW, revision=1)
    assert await here.disable("billing", None)
    assert not await here.disable("billing", None)
    assert not await here.disable("nobody", NOW)
    assert await here.get("a") == replace(ACCOUNT, name="a", keys=())
    edited = replace(ACCOUNT, owner="o", groups=("c",), targets=(), networks=(), expires_at=None, disabled_at=NOW)
    assert not await here.edit(replace(edited, revision=1))
    assert not await here.edit(replace(edited, name="nobody"))
    assert await here.edit(replace(edited, revision=2))
    assert await there.get("billing") == replace(edited, revision=3)
    assert not await there.edit(replace(edited, revision=2))


async def account_keys(one: Store, two: Store) -> None:
    """Keys overlap, expired ones make room, and of many additions at once no more than fit are made."""
    here, there = one.accounts, two.accounts
    await here.add(ACCOUNT)
    assert await there.add_key(key("0002", expires_at=NOW + 5), 3, NOW + 10)
    assert await here.add_key(key("0003"), 3, NOW + 7)
    assert not await here.add_key(key("0004"), 3)
    assert not await here.add_key(key("0004", account="nobody"), 3)
    found = await there.get("billing")
    assert found is not None
    assert [(each.key_id, each.expires_at) for each in found.keys] == [
        (KEY.key_id, NOW + 7),
        ("0002", NOW + 5),
        ("0003", None),
    ]
    assert found.revision == 2
    assert await there.add_key(key("0004", created_at=NOW + 5), 3)
    assert not await there.remove_key("billing", "0002")
    assert not await there.remove_key("nobody", "0003")
    assert await there.remove_key("billing", "0003")
    added = (here.add_key(key("a"), 3), there.add_key(key("b"), 3), here.add_key(key("c"), 3))
    assert sum(await asyncio.gather(*added)) == 1
    await here.used(KEY.key_id, NOW)
    await there.used(KEY.key_id, NOW + 59)
    await there.used("nothing", NOW)
    once = await here.of_key(KEY.key_id)
    await here.used(KEY.key_id, NOW + 61)
    again = await here.of_key(KEY.key_id)
    assert once is not None
    assert again is not None
    assert [each.keys[0].last_used_at for each in (once, again)] == [NOW, NOW + 61]


async def spending(one: Store, two: Store) -> None:
    """A token is spent once, whoever is quicker, and forgotten when its time is over."""
    spent = (each.accounts.spend("x", NOW + 10, NOW) for each in (one, two, one, two))
    assert sum(await asyncio.gather(*spent)) == 1
    assert await two.accounts.spend("y", NOW + 10, NOW)
    assert await one.accounts.spent(["x", "y", "z"]) == {"x", "y"}
    assert await one.accounts.spent([]) == set()
    assert not await one.accounts.spend("x", NOW + 20, NOW + 10)
    assert await one.accounts.spend("x", NOW + 20, NOW + 10.5)


async def resources(one: Store, two: Store) -> None:
    """Resources come back exactly; a change is whole, counts, and touches what it names."""
    here, there = one.resources, two.resources
    assert await here.revision() == (await there.all()).revision == 0
    rule = StoredResource(ResourceKind.POLICY, "orders", {"text": "permit …"})
    assert await here.change(0, [ORDERS, rule], [], "corp:dana", NOW + 0.25) == 1
    made = [replace(each, revision=1, changed_at=NOW + 0.25, changed_by="corp:dana") for each in (rule, ORDERS)]
    assert await there.all() == await here.all()
    assert list((await there.all()).items) == made
    assert await there.change(0, [replace(ORDERS, document={})], [rule.key], "x", NOW) is None
    assert list((await here.all()).items) == made
    changed = replace(ORDERS, document={"labels": {}})
    missing = Key(ResourceKind.ISSUER, "orders")
    assert await there.change(1, [changed], [rule.key, missing], "corp:drew", NOW) == 2
    assert (await here.all()).items == (replace(changed, revision=2, changed_at=NOW, changed_by="corp:drew"),)
    many = [replace(ORDERS, name=f"t{number}") for number in range(1500)]
    assert await here.change(2, many, [], "x", NOW) == 3
    assert await here.change(3, [], [each.key for each in (*many, ORDERS)], "x", NOW) == await there.revision() == 4
    assert (await there.all()).items == ()


async def resource_races(one: Store, two: Store) -> None:
    """Of changes made at once to the same revision one is made, whatever they are about."""
    for at in range(4):
        puts = [replace(ORDERS, name=f"t{number}") for number in range(4)]
        stores = (one, two, one, two)
        made = (store.resources.change(at, [put], [], "x", NOW) for store, put in zip(stores, puts, strict=True))
        outcomes = await asyncio.gather(*made)
        assert sorted(outcomes, key=str) == [at + 1, None, None, None]


async def presences(one: Store, two: Store) -> None:
    """Sessions of one process are known to, and ended by, another; a silent process has none."""
    mine = [Presence(f"s-{number}", "run-1", "ci:shop", "orders", "10.0.0.1:9") for number in range(1200)]
    await one.presences.tell("run-1", "node-1", mine, [], NOW)
    await two.presences.tell("run-2", "node-2", [replace(mine[0], session_id="t-1", owner="run-2")], [], NOW + 20)
    assert len(await two.presences.ids(NOW - 1)) == 1201
    assert await two.presences.found("s-7", NOW - 1) == mine[7]
    request = EndRequest("s-7", "corp:dana", "wrong database", NOW)
    await two.presences.ask_end(request)
    await two.presences.ask_end(replace(request, asked_by="corp:drew"))
    assert await one.presences.to_end("run-1") == [request]
    assert await two.presences.to_end("run-2") == []
    await one.presences.tell("run-1", "node-1", [], ["s-7"], NOW + 1)
    assert await one.presences.to_end("run-1") == []
    assert await two.presences.found("s-7", NOW - 1) is None
    assert await two.presences.ids(NOW + 10) == {"t-1"}
    assert await two.presences.sweep(NOW + 10, NOW) == 1
    assert await two.presences.ids(0) == {"t-1"}
    await two.presences.forget("run-2")
    assert await one.presences.ids(0) == set()


CHECKS = pytest.mark.parametrize(
    "check",
    [
        exact,
        guards,
        housekeeping,
        races,
        desks,
        accounts,
        account_keys,
        spending,
        resources,
        resource_races,
        people_logins,
        people_codes,
        people_devices,
        people_admin,
        presences,
    ],
    ids=lambda check: str(check.__name__),
)
