"""The gate's refusals through the engine: zero bytes of the command upstream, and the client reads the sentence."""

from collections.abc import Callable

import pytest

from ostiary.core import Refusal, RefusalKind
from ostiary.gate import gate as gate_module
from ostiary.gate.gate import Gate, GateSession, Hold
from ostiary.gate.ports import Decision, Refused
from ostiary.protocols.postgres.catalog import CatalogCache
from ostiary.protocols.postgres.engine import PostgresEngine
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.refuse import SQLSTATE
from ostiary.protocols.postgres.results import fields_of
from ostiary.sql import analyze
from ostiary.wire.contract import (
    Admitted,
    Ask,
    Authenticate,
    Close,
    Connect,
    Connected,
    Effect,
    Event,
    Forward,
    ForwardAside,
    Held,
    Received,
    Rejected,
    Release,
    Released,
    Reply,
    Ruled,
    Side,
    TlsStarted,
)
from tests.gate.fakes import DENY, HOLD, World
from tests.protocols.postgres.playbook import SYNC, bind, complete, parse, query, ready, row, row_description
from tests.protocols.postgres.shop import Clock, document

STARTUP = message(b"", b"\0\3\0\0user\0ada\0database\0orders\0\0")
TOKEN = message(b"p", b"a.b.c\0")
CANARY = "canary-7f3a"
STATEMENT = f"DELETE FROM orders WHERE note = '{CANARY}'"
SECRET = "hunter2"


class Session:
    """An engine and a gate, with what the driver between them does; the target's bytes are kept."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.gate = Gate(world.ports(), lambda: world.time, lambda: "s1")
        self.admitted: GateSession | None = None
        self.engine = PostgresEngine(
            "127.0.0.1:9",
            loopback=True,
            tls_offered=False,
            plaintext=True,
            catalogs=CatalogCache(Clock()),
            analyze=analyze,
            entropy=lambda n: b"\1" * n,
        )
        self.up = b""
        self.down = b""
        self.connected = False
        self.closed = ""

    async def feed(self, event: Event) -> None:
        """One event, and all that follows from it."""
        for effect in self.engine.handle(event):
            await self._carry_out(effect)

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Forward(_, data) | ForwardAside(_, data):
                self.up += data
            case Reply(data):
                self.down += data
            case Close(reason):
                self.closed = reason
            case Connect():
                self.connected = True
            case Authenticate(proof):
                try:
                    self.admitted = await self.gate.connect(proof)
                except Refused as refused:
                    await self.feed(Rejected(refused.refusal))
                    return
                session = self.admitted
                await self.feed(Admitted(session.permit, session.target, session.lease))
            case Ask(action_id, action, stage):
                assert self.admitted is not None
                answer = self.admitted.judge(action_id, action, stage)
                if isinstance(answer, Hold):
                    notices: list[str] = []
                    answer = await self.admitted.hold(answer, notices.append)
                    for notice in notices:
                        await self.feed(Held(action_id, notice))
                await self.feed(Ruled(action_id, answer))
            case Release(action_id, result):
                assert self.admitted is not None
                released, clear = self.admitted.release(action_id, result)
                await self.feed(Released(action_id, released, clear))
            case _:
                pass

    async def client(self, *messages: bytes) -> None:
        """The client sends."""
        await self.feed(Received(Side.CLIENT, b"".join(messages)))

    async def target(self, *messages: bytes) -> None:
        """The target sends."""
        await self.feed(Received(Side.TARGET, b"".join(messages)))

    async def begin(self) -> None:
        """Log in on both legs, read the catalogue, and start to look."""
        await self.client(STARTUP)
        await self.client(TOKEN)
        await self.feed(Connected())
        await self.target(b"S")
        await self.feed(TlsStarted(Side.TARGET))
        await self.target(message(b"R", b"\0\0\0\0"), message(b"K", b"\0\0\0\1abcd"), ready())
        await self.client(query("SELECT 1"))
        await self.target(row_description("c"), row(document()), complete("SELECT 1"), ready())
        await self.target(row_description("?column?"), row("1"), complete("SELECT 1"), ready())
        self.up = self.down = b""

    def error(self) -> dict[str, str]:
        """Fields of the one ErrorResponse the client was sent."""
        at, found = 0, []
        while at < len(self.down):
            size = 1 + int.from_bytes(self.down[at + 1 : at + 5], "big")
            if self.down[at : at + 1] == b"E":
                found.append(self.down[at : at + size])
            at += size
        (frame,) = found
        names, cells = fields_of(frame)
        return {name: (cell or b"").decode() for name, cell in zip(names, cells, strict=True)}


@pytest.fixture
def world() -> World:
    """Ports that allow."""
    return World()


def fault(port: str) -> Callable[[World], None]:
    """That port raises, with something in the exception that nobody may read."""

    def change(world: World) -> None:
        world.faults.on[port] = RuntimeError(SECRET)

    return change


def hang(port: str) -> Callable[[World], None]:
    """That port never answers."""

    def change(world: World) -> None:
        world.faults.on[port] = "hang"

    return change


def deny(world: World) -> None:
    """Policy says no."""
    world.ruling = world.connect_ruling = DENY


def unknown_target(world: World) -> None:
    """The registry knows nothing."""
    world.targets.clear()


def expired(world: World) -> None:
    """The token has ended."""
    world.time = 2000.0


def held(then: Callable[[World], None]) -> Callable[[World], None]:
    """Policy holds, then something happens."""

    def change(world: World) -> None:
        world.ruling = HOLD
        then(world)

    return change


def rejected(world: World) -> None:
    """A person says no."""
    world.decision = Decision(approved=False, by=("corp:ada",), reason="not today")


def unanswered(world: World) -> None:
    """Nobody answers."""
    world.decision = Decision(approved=False)


CONNECT_FAULTS = ("identify", "registry", "authorize_connect", "open", "recorder.write", "rights", "required", "lease")
CONNECT = [
    *(pytest.param(fault(port), id=f"{port} raises") for port in (*CONNECT_FAULTS, "LeaseIssued")),
    *(pytest.param(hang(port), id=f"{port} hangs") for port in ("identify", "lease")),
    pytest.param(deny, id="policy denies"),
    pytest.param(unknown_target, id="no such target"),
]


@pytest.mark.parametrize("change", CONNECT)
async def test_refused_at_connect(
    world: World, change: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is not even dialled; the client reads a FATAL with a sentence."""
    monkeypatch.setattr(gate_module, "CONNECT_SECONDS", 0.01)
    change(world)
    session = Session(world)
    await session.client(STARTUP)
    session.down = b""
    await session.client(TOKEN)
    error = session.error()
    assert error["S"] == "FATAL"
    assert len(error["M"]) > 10
    assert SECRET not in str(error)
    assert (session.up, session.connected) == (b"", False)
    assert session.closed == error["M"]


ACTION = [
    *(pytest.param(fault(port), id=f"{port} raises") for port in ("decide", "text", "recorder.write")),
    pytest.param(fault("IntentRecorded"), id="the intent can't be recorded"),
    pytest.param(deny, id="policy denies"),
    pytest.param(expired, id="the token has ended"),
    *(
        pytest.param(held(fault(port)), id=f"held, {port} raises")
        for port in ("request", "parameters", "ActionHeld", "decided", "IntentRecorded")
    ),
    pytest.param(held(rejected), id="held, rejected"),
    pytest.param(held(unanswered), id="held, nobody answers"),
    pytest.param(held(lambda world: world.when_held.append(("ruling", DENY))), id="held, then denied"),
    pytest.param(held(lambda world: world.when_held.append(("time", 2000.0))), id="held, then expired"),
]


@pytest.mark.parametrize("change", ACTION)
@pytest.mark.parametrize("extended", [False, True])
async def test_refused_at_an_action(world: World, change: Callable[[World], None], extended: bool) -> None:
    """Nothing of the command goes up, and the session is idle again."""
    session = Session(world)
    await session.begin()
    if extended:
        # Judged at Bind: at Parse only a denial refuses.
        await session.client(parse(STATEMENT, "s"), SYNC)
        await session.target(message(b"1", b""), ready())
        session.up = session.down = b""
    change(world)
    await session.client(*((bind("s"), message(b"E", b"\0\0\0\0\0"), SYNC) if extended else (query(STATEMENT),)))
    error = session.error()
    assert error["S"] == "ERROR"
    assert len(error["M"]) > 10
    assert SECRET not in str(error)
    assert session.up == b""
    assert session.down.endswith(ready("I"))
    assert session.closed == ""


@pytest.mark.parametrize("port", ["masker", "mask", "recorder.later"])
async def test_refused_at_a_result(world: World, port: str) -> None:
    """Not a byte of it reaches the client, and the session ends with a sentence."""
    session = Session(world)
    await session.begin()
    await session.client(query("SELECT note FROM orders"))
    fault(port)(world)
    session.down = b""
    await session.target(row_description("note"), row(CANARY), complete("SELECT 1"), ready())
    error = session.error()
    assert (error["S"], error["C"]) == ("FATAL", SQLSTATE[RefusalKind.MASKING])
    assert CANARY.encode() not in session.down
    assert session.closed == error["M"]


@pytest.mark.parametrize("kind", RefusalKind)
async def test_every_kind_of_refusal_is_said(world: World, kind: RefusalKind) -> None:
    """With its own SQLSTATE, its sentence and its next step, as an answer and as the end of a session."""
    refusal = Refusal(kind, f"refused for the sake of {kind.value}", "ask somebody")
    session = Session(world)
    await session.begin()
    for effect in session.engine.refuse(refusal):
        await session._carry_out(effect)
    error = session.error()
    assert (error["S"], error["C"], error["M"], error["H"]) == ("FATAL", SQLSTATE[kind], refusal.message, refusal.hint)
    assert session.closed == refusal.message
