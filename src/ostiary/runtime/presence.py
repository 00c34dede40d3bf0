"""Sessions of this process that other processes know of, and what those ask of them.

Theory of operation: about once a second a process writes down which sessions began and ended since, in one
transaction and only when there is something to write, and asks which of its own are to be ended. A process that was not
heard of for `STALE_SECONDS` is dead: its sessions count no more, and whoever notices forgets them.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from ostiary.runtime.live import LiveSession, LiveSessions, ended_by
from ostiary.runtime.session import SessionDriver

log = structlog.get_logger()

POLL_SECONDS: Final = 1.0
#: Between signs of life, while nothing else is written.
BEAT_SECONDS: Final = 5.0
STALE_SECONDS: Final = 30.0
#: A request to end a session is forgotten after so many seconds.
_KEPT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Presence:
    """A session that lives in some process."""

    session_id: str
    owner: str
    #: `issuer:subject`.
    principal: str
    target: str
    #: Address of its client, "ip:port".
    source: str


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Somebody wants a session ended."""

    session_id: str
    asked_by: str
    reason: str
    #: Unix seconds.
    asked_at: float


class PresenceRepository(Protocol):
    """What it needs of a store. Every method raises when the store can't answer. Times are unix seconds."""

    async def tell(self, owner: str, node: str, begun: Collection[Presence], over: Collection[str], now: float) -> None:
        """A sign of life of this owner, sessions of its that began, ids of those that are over."""
        ...

    async def to_end(self, owner: str) -> list[EndRequest]:
        """Requests for sessions of this owner."""
        ...

    async def ask_end(self, request: EndRequest) -> None:
        """Have a session ended by whoever has it. The first request for it stands."""
        ...

    async def found(self, session_id: str, alive_since: float) -> Presence | None:
        """One that lives with an owner heard of after `alive_since`."""
        ...

    async def ids(self, alive_since: float) -> set[str]:
        """Those of all."""
        ...

    async def forget(self, owner: str) -> None:
        """This owner has no sessions any more."""
        ...

    async def sweep(self, alive_since: float, asked_since: float) -> int:
        """Forget owners that were not heard of since, with their sessions, and old requests. How many owners."""
        ...


class Presences:
    """Tells of the sessions of this process, and ends those that it is asked to. Use `run`, then `close`."""

    def __init__(
        self, repository: PresenceRepository, live: LiveSessions, node: str, clock: Callable[[], float]
    ) -> None:
        self._repository = repository
        self._live = live
        self._node = node
        self._clock = clock
        self._owner = secrets.token_hex(8)
        #: Told of, and not yet told to be over.
        self._told: dict[str, SessionDriver] = {}
        self._beaten_at = float("-inf")
        self._swept_at = float("-inf")
        self._failed = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the next look tells what this one could not
                if not self._failed:
                    log.warning("sessions could not be told to the state store", error=str(error))
                self._failed = True
            else:
                self._failed = False

    async def look(self) -> None:
        """Tell what has changed; end what is to be ended. Raises what the repository raises."""
        now = self._clock()
        begun = {live.session_id: (live, driver) for live, driver in self._live.found()}
        fresh = {name: pair for name, pair in begun.items() if name not in self._told}
        over = [name for name, driver in self._told.items() if driver.finished.is_set()]
        if fresh or over or not 0 <= now - self._beaten_at < BEAT_SECONDS:
            told = [_presence(live, self._owner) for live, _ in fresh.values()]
            await self._repository.tell(self._owner, self._node, told, over, now)
            self._beaten_at = now
            self._told |= {name: driver for name, (_, driver) in fresh.items()}
            for name in over:
                del self._told[name]
        for asked in await self._repository.to_end(self._owner):
            driver = self._told.get(asked.session_id)
            if driver is not None:
                driver.stop(ended_by(asked.asked_by, asked.reason))
        if not 0 <= now - self._swept_at < STALE_SECONDS:
            dead = await self._repository.sweep(now - STALE_SECONDS, now - _KEPT)
            self._swept_at = now
            if dead:
                log.info("sessions of dead processes forgotten", processes=dead)

    async def close(self) -> None:
        """Nothing lives here any more. Never raises: silence says the same in time."""
        try:
            await self._repository.forget(self._owner)
        except Exception as error:  # noqa: BLE001 - as said
            log.warning("sessions could not be told to the state store", error=str(error))


def _presence(live: LiveSession, owner: str) -> Presence:
    return Presence(live.session_id, owner, live.principal.id, live.target.name, live.source)
