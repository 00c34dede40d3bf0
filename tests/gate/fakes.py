"""Ports that do what a test tells them, and remember what they saw."""

import asyncio
from dataclasses import dataclass, field

from ostiary.core import (
    Action,
    Lease,
    Principal,
    PrincipalKind,
    Proof,
    Record,
    Refusal,
    Result,
    Ruling,
    Secret,
    Shape,
    Target,
    Verdict,
)
from ostiary.gate.ports import Decision, HoldRequest, Ports, Rights

ALLOW = Ruling(Verdict.ALLOW, ("shop-reads",), "", version=1)
DENY = Ruling(Verdict.DENY, ("no-unbounded-delete",), "DELETE without WHERE on public.orders", version=1)
HOLD = Ruling(Verdict.HOLD, ("dba-approves-ddl",), "DROP TABLE orders", ("dba",), version=1)
WEIGH = Ruling(Verdict.WEIGH, ("large-change",), "DELETE on public.orders: it depends on the estimate", version=1)
PRINCIPAL = Principal(PrincipalKind.WORKLOAD, "ci", "shop", frozenset({"svc/shop"}), 2000.0, 2000.0, "jti-1")
TARGET = Target("orders", "postgres", "127.0.0.1", 5432, "shop")
PROOF = Proof(Secret("a.b.c"), "orders", "127.0.0.1:9", encrypted=True, loopback=True)


@dataclass
class Faults:
    """Port call → exception to raise, or "hang"."""

    on: dict[str, BaseException | str] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Raise when told to."""
        fault = self.on.get(name)
        if isinstance(fault, BaseException):
            raise fault

    async def acheck(self, name: str) -> None:
        """Raise or hang when told to."""
        if self.on.get(name) == "hang":
            await asyncio.Event().wait()
        self.check(name)


class FakeRecorder:
    """Keeps records in memory."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.records: list[Record] = []
        self.closed: str | None = None

    def write(self, *records: Record) -> None:
        self.faults.check("recorder.write")
        for record in records:
            self.faults.check(type(record).__name__)
        self.records += records

    def later(self, *records: Record) -> None:
        self.faults.check("recorder.later")
        self.records += records

    def flush(self) -> None:
        self.faults.check("recorder.flush")

    def close(self, reason: str) -> None:
        self.closed = reason

    def kinds(self) -> list[str]:
        """Names of the records, in order."""
        return [type(record).__name__ for record in self.records]


class FakePending:
    """A held action."""

    approval_id = "7K2P"
    notice = "held for approval by dba (request 7K2P, expires in 10 min): https://gw/a/7K2P"

    def __init__(self, world: "World") -> None:
        self.world = world

    async def decided(self) -> Decision:
        await self.world.faults.acheck("decided")
        self.world.during_hold()
        return self.world.decision

    async def withdraw(self, reason: str) -> None:
        self.world.withdrawn.append(reason)
        self.world.faults.check("withdraw")


class FakeMasker:
    """Masks nothing."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.masked: dict[str, str] = {}

    def mask(self, result: Result) -> tuple[Result, bool]:
        self.world.faults.check("mask")
        return result, True


class World:
    """All ports at once."""

    version = 1

    def __init__(self) -> None:
        self.faults = Faults()
        self.recorder = FakeRecorder(self.faults)
        self.ruling = ALLOW
        #: The ruling once there is an estimate; None: the same.
        self.weighed: Ruling | None = None
        #: Why values may not be put where a command puts them.
        self.leaving: Refusal | None = None
        self.connect_ruling = ALLOW
        self.decision = Decision(approved=True, by=("corp:ada",))
        self.time = 1000.0
        #: Actions whose results were masked.
        self.masked_for: list[Action] = []
        self.leased: list[str] = []
        self.revoked: list[str] = []
        self.withdrawn: list[str] = []
        self.requests: list[HoldRequest] = []
        self.requested = asyncio.Event()
        self.when_held: list[tuple[str, object]] = []
        self.targets = {"orders": TARGET}

    def ports(self) -> Ports:
        """The bundle the gate takes."""
        return Ports(self, self, self, self, self, self, self, self)

    async def check(self, principal: Principal, target: Target, source: str) -> None:
        del principal, target, source
        await self.faults.acheck("standing")

    def during_hold(self) -> None:
        """What changes while a person thinks."""
        for name, value in self.when_held:
            setattr(self, name, value)

    def target(self, name: str) -> Target | None:
        self.faults.check("registry")
        return self.targets.get(name)

    async def identify(self, proof: Proof) -> Principal:
        del proof
        await self.faults.acheck("identify")
        return PRINCIPAL

    def authorize_connect(self, principal: Principal, target: Target, source: str) -> Ruling:
        del principal, target, source
        self.faults.check("authorize_connect")
        return self.connect_ruling

    def rights(self, principal: Principal, target: Target, source: str) -> "World":
        del principal, target, source
        self.faults.check("rights")
        return self

    def decide(self, action: Action) -> Ruling:
        self.faults.check("decide")
        return self.weighed if self.weighed is not None and action.rows_estimate is not None else self.ruling

    def may_unmask(self, data_class: str) -> bool:
        del data_class
        return False

    def may_declassify(self, data_class: str) -> bool:
        del data_class
        return False

    async def request(self, request: HoldRequest) -> FakePending:
        await self.faults.acheck("request")
        self.requests.append(request)
        self.requested.set()
        return FakePending(self)

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        del principal, target
        await self.faults.acheck("lease")
        self.leased.append(session_id)
        return Lease("l1", "ostiary_x", Secret("pw"), "postgres-role")

    async def revoke(self, target: Target, lease: Lease) -> str:
        del target
        await self.faults.acheck("revoke")
        self.revoked.append(lease.lease_id)
        return "role ostiary_x dropped, 0 backends left"

    def required(self, target: Target) -> bool:
        del target
        self.faults.check("required")
        return True

    def forbidden(self, rights: Rights, target: Target, shape: Shape) -> Refusal | None:
        del rights, target, shape
        self.faults.check("forbidden")
        return self.leaving

    def masker(self, rights: Rights, target: Target, action: Action) -> FakeMasker:
        del rights, target
        self.faults.check("masker")
        self.masked_for.append(action)
        return FakeMasker(self)

    def parameters(self, target: Target, action: Action) -> tuple[str | None, ...]:
        del target, action
        self.faults.check("parameters")
        return ()

    def text(self, target: Target, text: str) -> str:
        del target
        self.faults.check("text")
        return text

    def open(self, session_id: str) -> FakeRecorder:
        del session_id
        self.faults.check("open")
        return self.recorder
