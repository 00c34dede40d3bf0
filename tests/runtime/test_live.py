"""Sessions that live, seen and ended from outside."""

import asyncio
import ssl

from ostiary.core import SessionEnded
from ostiary.gate.attempts import Attempts
from ostiary.gate.gate import Gate
from ostiary.runtime import live as live_module
from ostiary.runtime.listener import Listener
from ostiary.runtime.live import LiveSession, LiveSessions
from ostiary.wire.contract import Admitted, Authenticate, Effect, Event, Received, Reply
from tests.gate.fakes import PRINCIPAL, World
from tests.runtime.test_session import PROOF, Scripted, Transport, told

WHY = "this session was ended by corp:dana: wrong database"


class Scene:
    """Clients of one listener; no socket."""

    def __init__(self) -> None:
        self.world = World()
        self.engines: list[Scripted] = []
        ids = iter(f"s{number}" for number in range(1, 9))
        gate = Gate(self.world.ports(), lambda: self.world.time, lambda: next(ids))
        self.listener = Listener(
            gate,
            lambda source, loopback: self._engine(),
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            told,
            Attempts(lambda: 0.0),
        )
        self.live = LiveSessions()
        self.live.follow(self.listener)

    def _engine(self) -> Scripted:
        self.engines.append(Scripted(self._script))
        return self.engines[-1]

    @staticmethod
    def _script(event: Event) -> list[Effect]:
        return [Authenticate(PROOF)] if isinstance(event, Received) else []

    async def client(self) -> Transport:
        """One that is admitted."""
        transport, leg = Transport(), self.listener._leg("127.0.0.1")
        leg.connection_made(transport)
        leg.get_buffer(-1)[:1] = b"x"
        leg.buffer_updated(1)
        await self.engines[-1].saw[Admitted].wait()
        return transport


async def test_only_admitted_sessions_are_seen() -> None:
    """A client that has not shown who it is is none; nor is one that is over."""
    scene = Scene()
    waiting, leg = Transport(), scene.listener._leg("127.0.0.1")
    leg.connection_made(waiting)
    assert list(scene.live) == []
    await scene.client()
    (seen,) = scene.live
    assert seen == LiveSession("s1", PRINCIPAL, seen.target, "127.0.0.1:9")
    assert scene.live.get("s1") == seen
    assert scene.live.get("s2") is None
    assert await scene.live.end("s1", "corp:dana", "wrong database") is True
    assert list(scene.live) == []
    await scene.listener.stop(5)


async def test_ended_at_once() -> None:
    """The client reads why, record and credential are ended; others go on."""
    scene = Scene()
    first, second = await scene.client(), await scene.client()
    assert await scene.live.end("s1", "corp:dana", "wrong database") is True
    assert first.written == f"refused: {WHY}".encode()
    assert first.closed
    assert not second.closed
    assert [each.session_id for each in scene.live] == ["s2"]
    ended = next(record for record in scene.world.recorder.records if isinstance(record, SessionEnded))
    assert ended.reason == WHY
    assert len(scene.world.revoked) == 1
    assert await scene.live.end("s1", "corp:dana", "again") is None
    await scene.listener.stop(5)


async def test_no_wait_without_end() -> None:
    """A credential that takes its time: the session is over, and its ending goes on."""
    scene = Scene()
    client = await scene.client()
    scene.world.faults.on["revoke"] = "hang"
    before, live_module.END_SECONDS = live_module.END_SECONDS, 0.0  # type: ignore[misc]
    try:
        assert await scene.live.end("s1", "corp:dana", "wrong database") is False
    finally:
        live_module.END_SECONDS = before  # type: ignore[misc]
    assert client.closed
    assert list(scene.live) == []
    (driver,) = scene.listener.sessions
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await driver.finished.wait()


async def test_amid_what_is_said() -> None:
    """Ended by an effect that stands before another: nothing is said twice."""
    scene = Scene()
    client = await scene.client()
    engine = scene.engines[0]

    def ends(event: Event) -> list[Effect]:
        (driver,) = scene.listener.sessions
        driver.shut_down()
        return [Reply(b"unheard")]

    engine._script = ends
    (driver,) = scene.listener.sessions
    leg = driver._client
    assert leg is not None
    said: list[bytes] = []
    leg.write = said.append  # type: ignore[method-assign, assignment]
    leg.get_buffer(-1)[:1] = b"x"
    leg.buffer_updated(1)
    await driver.finished.wait()
    assert client.closed
    assert said == [b"refused: the gateway is stopping"]
