"""Sessions that other processes know of, and end."""

from collections.abc import Collection

import pytest

from ostiary.runtime.presence import BEAT_SECONDS, STALE_SECONDS, EndRequest, Presence, Presences
from tests.runtime.test_live import Scene


class Told:
    """A repository that remembers what it was told."""

    def __init__(self) -> None:
        self.living: dict[str, Presence] = {}
        self.asked: list[EndRequest] = []
        self.beats: list[float] = []
        self.swept: list[float] = []
        self.fails = False

    async def tell(self, owner: str, node: str, begun: Collection[Presence], over: Collection[str], now: float) -> None:
        """As the port."""
        del owner, node
        if self.fails:
            raise RuntimeError("down")
        self.beats.append(now)
        self.living |= {each.session_id: each for each in begun}
        for each in over:
            del self.living[each]

    async def to_end(self, owner: str) -> list[EndRequest]:
        """As the port."""
        return [each for each in self.asked if self.living[each.session_id].owner == owner]

    async def ask_end(self, request: EndRequest) -> None:
        """As the port."""
        self.asked.append(request)

    async def found(self, session_id: str, alive_since: float) -> Presence | None:
        """As the port."""
        del alive_since
        return self.living.get(session_id)

    async def ids(self, alive_since: float) -> set[str]:
        """As the port."""
        del alive_since
        return set(self.living)

    async def forget(self, owner: str) -> None:
        """As the port."""
        if self.fails:
            raise RuntimeError("down")
        self.living = {name: each for name, each in self.living.items() if each.owner != owner}

    async def sweep(self, alive_since: float, asked_since: float) -> int:
        """As the port."""
        del asked_since
        self.swept.append(alive_since)
        return 0


async def test_told_ended_and_over() -> None:
    """A session is told of until its record is closed; what another process asks for ends it, with its sentence."""
    scene, told = Scene(), Told()
    presences = Presences(told, scene.live, "node-1", lambda: scene.world.time)
    transport = await scene.client()
    await scene.client()
    await presences.look()
    assert set(told.living) == {"s1", "s2"}
    assert (told.living["s1"].principal, told.living["s1"].source) == ("ci:shop", "127.0.0.1:9")
    await told.ask_end(EndRequest("s1", "corp:dana", "wrong database", 1000.0))
    (driver,) = [driver for live, driver in scene.live.found() if live.session_id == "s1"]
    await presences.look()
    assert b"this session was ended by corp:dana: wrong database" in transport.written
    assert set(told.living) == {"s1", "s2"}
    await driver.finished.wait()
    told.asked.clear()
    await presences.look()
    assert set(told.living) == {"s2"}
    await presences.close()
    assert told.living == {}
    await scene.listener.stop(5)


async def test_quiet_when_nothing_changes() -> None:
    """Signs of life come now and then, sweeps less often; nothing else is written."""
    scene, told = Scene(), Told()
    presences = Presences(told, scene.live, "node-1", lambda: scene.world.time)
    for _ in range(int(STALE_SECONDS)):
        await presences.look()
        scene.world.time += 1.0
    assert told.beats == [1000.0 + BEAT_SECONDS * number for number in range(6)]
    assert told.swept == [1000.0 - STALE_SECONDS]


async def test_a_store_that_fails() -> None:
    """What could not be told is told the next time; closing never fails."""
    scene, told = Scene(), Told()
    presences = Presences(told, scene.live, "node-1", lambda: scene.world.time)
    await scene.client()
    told.fails = True
    with pytest.raises(RuntimeError):
        await presences.look()
    await presences.close()
    told.fails = False
    await presences.look()
    assert set(told.living) == {"s1"}
    await scene.listener.stop(5)
