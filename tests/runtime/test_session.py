"""The end of a session: whatever fails on the way there, its sockets are closed and its lease and record are ended."""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from ostiary.core import Permit, Proof, Refusal, RefusalKind, Secret, Target
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.runtime import session as session_module
from ostiary.runtime import waits
from ostiary.runtime.interrupts import Interrupts
from ostiary.runtime.leg import Leg
from ostiary.runtime.listener import Listener
from ostiary.runtime.session import SessionDriver
from ostiary.wire.contract import (
    Admitted,
    Authenticate,
    Close,
    Connect,
    Connected,
    Effect,
    Event,
    Forward,
    Interrupt,
    Received,
    Rejected,
    Reply,
    Side,
    StartTls,
)
from tests.gate.fakes import PRINCIPAL, World

PROOF = Proof(Secret("a.b.c"), "orders", "127.0.0.1:9", encrypted=False, loopback=True)
BOOM = RuntimeError("boom")


class Transport(asyncio.Transport):
    """A list of bytes, and how it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = ""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del default
        return ("127.0.0.1", 9) if name == "peername" else None

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = self.closed or "aborted"

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Scripted:
    """An engine that does what its script says for an event; the script may raise."""

    ready = False

    def __init__(self, script: Callable[[Event], list[Effect]]) -> None:
        self._script = script
        self.authenticated = False
        self.speechless = False
        #: Set once an event of that kind came.
        self.saw: defaultdict[type, asyncio.Event] = defaultdict(asyncio.Event)

    def handle(self, event: Event) -> list[Effect]:
        self.saw[type(event)].set()
        self.authenticated |= isinstance(event, Admitted)
        return self._script(event)

    def refuse(self, refusal: Refusal) -> list[Effect]:
        if self.speechless:
            raise BOOM
        return [Reply(f"refused: {refusal.message}".encode()), Close(refusal.message)]

    def wants(self, side: Side) -> bool:
        del side
        return True


def told(refusal: Refusal) -> bytes:
    """What a client without an engine reads."""
    return f"{refusal.kind}: {refusal.message}".encode()


def interrupting(event: Event) -> list[Effect]:
    """A client that presents a key."""
    return [Interrupt(Secret(b"key"), 2)] if isinstance(event, Received) else []


@pytest.mark.parametrize("known", [True, False])
async def test_a_key_of_another_worker_s(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked; the connection closes behind its answer, and a guess is a failed attempt."""
    scene = Scene(interrupting).connect()
    said: list[str] = []
    for name in ("excused", "failed"):
        monkeypatch.setattr(scene.driver.attempt, name, lambda name=name: said.append(name))
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    asked: list[tuple[int, bytes]] = []

    async def elsewhere(worker: int, key: bytes) -> bool:
        asked.append((worker, key))
        return await answer

    scene.driver._interrupts.elsewhere = elsewhere
    scene.sends(b"cancel")
    await asyncio.sleep(0)
    assert not scene.client.closed
    answer.set_result(known)
    await scene.driver.finished.wait()
    assert asked == [(2, b"key")]
    assert scene.driver.reason == "cancel request"
    assert said[0] == ("excused" if known else "failed")


class Scene:
    """One client on one driver."""

    def __init__(self, script: Callable[[Event], list[Effect]], world: World | None = None) -> None:
        self.world = world or World()
        self.engine = Scripted(script)
        self.gone: list[SessionDriver] = []
        self.driver = SessionDriver(
            Gate(self.world.ports(), lambda: self.world.time, lambda: "s1"),
            lambda source, loopback: self.engine,
            Interrupts(),
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            told,
            self.gone.append,
            Attempts(lambda: 0.0).begin("127.0.0.1"),
        )
        self.leg = Leg(self.driver, Side.CLIENT)
        self.client = Transport()
        #: What reached the event loop's last resort.
        self.escaped: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.escaped.append(context))

    def connect(self) -> "Scene":
        self.leg.connection_made(self.client)
        return self

    def sends(self, data: bytes) -> None:
        self.leg.get_buffer(-1)[: len(data)] = data
        self.leg.buffer_updated(len(data))

    async def over(self) -> None:
        """It ends: closed, forgotten, everything that was lent given back."""
        async with asyncio.timeout(5):
            await self.driver.finished.wait()
        assert not self.escaped
        assert self.client.closed
        assert self.gone == [self.driver]
        assert len(self.world.revoked) == len(self.world.leased)
        assert self.world.recorder.closed is not None or not self.world.leased


def admits(event: Event, then: Callable[[Event], list[Effect]] = lambda event: []) -> list[Effect]:
    """Ask the gate at the first byte; then something else."""
    match event:
        case Received(Side.CLIENT, b"token"):
            return [Authenticate(PROOF)]
        case Rejected(refusal):
            return [Reply(refusal.message.encode()), Close(refusal.message)]
        case _:
            return then(event)


@pytest.mark.parametrize("opening", [b"", b"\x16\x03\x01"])
async def test_silence_inside_the_tls_handshake(monkeypatch: pytest.MonkeyPatch, opening: bytes) -> None:
    """Nothing can be said there; the socket is closed all the same."""
    monkeypatch.setattr(session_module, "HANDSHAKE_SECONDS", 0)
    scene = Scene(lambda event: [StartTls(Side.CLIENT, opening)] if isinstance(event, Received) else []).connect()
    scene.sends(b"S")
    await scene.over()
    assert (scene.client.closed, scene.client.written) == ("aborted", b"")


async def test_an_engine_that_raises() -> None:
    """The client reads that the gateway failed; no text of the error's own."""

    def script(event: Event) -> list[Effect]:
        raise BOOM

    scene = Scene(script).connect()
    scene.sends(b"x")
    await scene.over()
    assert scene.client.written.startswith(b"refused: the gateway failed inside (RuntimeError)")
    assert scene.client.closed == "closed"


async def test_a_refusal_that_can_not_be_said() -> None:
    """Then nothing is said, and the rest of the end is the same."""
    scene = Scene(admits).connect()
    scene.sends(b"token")
    await scene.engine.saw[Admitted].wait()
    scene.engine.speechless = True
    scene.driver.shut_down()
    await scene.over()
    assert scene.world.revoked == ["l1"]


async def test_a_task_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is awaited may fail in ways nobody thought of."""

    async def dial(target: Target, leg: Leg) -> None:
        del target, leg
        raise BOOM

    monkeypatch.setattr(waits, "dial", dial)
    scene = Scene(lambda event: admits(event, lambda e: [Connect()] if isinstance(e, Admitted) else [])).connect()
    scene.sends(b"token")
    await scene.over()
    assert scene.client.written.startswith(b"refused: the gateway failed inside")


async def test_a_target_whose_tls_is_unfinished(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was permitted can't be sent; the client still reads the sentence, and both sockets are closed."""
    target = Transport()
    permits: list[Permit] = []

    async def dial(where: Target, leg: Leg) -> None:
        del where
        leg.connection_made(target)

    def script(event: Event) -> list[Effect]:
        match event:
            case Admitted():
                permits.append(event.permit)
                return [Connect()]
            case Received(Side.CLIENT, b"go"):
                return [StartTls(Side.TARGET), Forward(permits[0], b"words")]
            case _:
                return admits(event)

    monkeypatch.setattr(waits, "dial", dial)
    scene = Scene(script).connect()
    scene.sends(b"token")
    await scene.engine.saw[Connected].wait()
    scene.sends(b"go")
    await scene.over()
    assert target.closed
    assert b"words" not in target.written
    assert scene.client.written.startswith(b"refused: ")


async def test_a_target_that_never_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The login has a deadline; the sentence names the target."""
    target = Transport()

    async def dial(where: Target, leg: Leg) -> None:
        del where
        leg.connection_made(target)

    monkeypatch.setattr(waits, "dial", dial)
    monkeypatch.setattr(session_module, "LOGIN_SECONDS", 0)
    scene = Scene(lambda event: admits(event, lambda e: [Connect()] if isinstance(e, Admitted) else [])).connect()
    scene.sends(b"token")
    await scene.over()
    assert scene.client.written == b"refused: target orders did not finish the login within 0 s"
    assert target.closed


async def test_a_recording_that_can_not_be_closed() -> None:
    """The sockets are closed and the session is forgotten."""
    world = World()

    def close(reason: str) -> None:
        world.recorder.closed = reason
        raise BOOM

    scene = Scene(admits, world).connect()
    world.recorder.close = close  # type: ignore[method-assign]
    scene.sends(b"token")
    await scene.engine.saw[Admitted].wait()
    scene.client.close()
    scene.leg.connection_lost(None)
    await scene.over()


async def test_a_client_gone_while_it_is_admitted() -> None:
    """The session is over when what was lent meanwhile is given back, not before."""
    world, began, go_on = World(), asyncio.Event(), asyncio.Event()
    lend = world.lease

    async def slowly(*args: Any) -> Any:
        began.set()
        await go_on.wait()
        return await lend(*args)

    world.lease = slowly  # type: ignore[method-assign, assignment]
    scene = Scene(admits, world).connect()
    scene.sends(b"token")
    await began.wait()
    scene.client.close()
    scene.leg.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not scene.driver.finished.is_set()
    go_on.set()
    await scene.over()
    assert world.revoked == ["l1"]


async def test_stopped_before_the_socket_came() -> None:
    """A client that comes to a driver that has ended is not kept."""
    scene = Scene(admits)
    scene.driver.shut_down()
    await scene.driver.finished.wait()
    scene.connect()
    assert scene.client.closed == "aborted"


def listening(make_engine: Callable[[str, bool], Scripted]) -> tuple[Listener, Transport]:
    """A listener, and a client that has just come to it."""
    world = World()
    gate = Gate(world.ports(), lambda: world.time, lambda: "s1")
    listener, client = Listener(gate, make_engine, None, told, Attempts(lambda: 0.0)), Transport()
    listener._leg("127.0.0.1").connection_made(client)
    return listener, client


async def test_no_engine_for_a_client() -> None:
    """It is told in its protocol, and nothing of it is left."""

    def make(source: str, loopback: bool) -> Scripted:
        raise BOOM

    listener, client = listening(make)
    (driver,) = listener.sessions
    await driver.finished.wait()
    assert client.written.startswith(f"{RefusalKind.INTERNAL}: the gateway failed inside".encode())
    assert client.closed == "closed"
    assert not listener.sessions


async def test_no_room_for_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in its protocol."""
    monkeypatch.setattr("ostiary.runtime.listener.MAX_SESSIONS", 0)
    listener, client = listening(lambda source, loopback: Scripted(admits))
    assert client.written == f"{RefusalKind.CAPACITY}: the gateway has as many sessions as it takes".encode()
    assert client.closed == "closed"
    assert not listener.sessions


async def test_a_timer_that_comes_early_comes_again() -> None:
    """The event loop's clock is not the gate's: a session ends with its token whichever runs ahead."""
    scene = Scene(admits).connect()
    scene.world.time = PRINCIPAL.session_until - 0.001
    scene.sends(b"token")
    async with asyncio.timeout(5):
        # The handshake's, the session's, and the one that came again.
        while len(scene.driver._timers) < 3:  # noqa: ASYNC110 - a timer tells nobody
            await asyncio.sleep(0)
    assert not scene.client.closed
    scene.world.time = PRINCIPAL.session_until
    await scene.over()
    assert b"token has ended" in scene.client.written
