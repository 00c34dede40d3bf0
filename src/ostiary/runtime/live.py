"""The sessions that live in this process, and how one is ended from outside. Costs a session nothing while it lives."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ostiary.core import Principal, Refusal, RefusalKind, Target
from ostiary.runtime.listener import Listener
from ostiary.runtime.session import SessionDriver

#: Seconds that whoever ends a session waits for its record and credential; ending goes on after that.
END_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class LiveSession:
    """An admitted session that has not begun to end."""

    session_id: str
    principal: Principal
    target: Target
    #: Address of the client, "ip:port".
    source: str


class LiveSessions:
    """Every session of every listener of this process. For the loop's thread only."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def follow(self, listener: Listener) -> None:
        """Its sessions are found here from now on."""
        self._listeners.append(listener)

    def __iter__(self) -> Iterator[LiveSession]:
        """In no particular order."""
        return (live for live, _ in self.found())

    def get(self, session_id: str) -> LiveSession | None:
        """One of them."""
        return next((live for live in self if live.session_id == session_id), None)

    async def end(self, session_id: str, who: str, reason: str) -> bool | None:
        """End a session with a sentence in the client's protocol: nothing of it runs once this is called.

        Returns whether its record is closed and its credential was asked back; None when no such session lives here.
        """
        for live, driver in self.found():
            if live.session_id == session_id:
                driver.stop(ended_by(who, reason))
                try:
                    async with asyncio.timeout(END_SECONDS):
                        await driver.finished.wait()
                except TimeoutError:
                    return False
                return True
        return None

    def found(self) -> Iterable[tuple[LiveSession, SessionDriver]]:
        """Each with what drives it."""
        for listener in self._listeners:
            for driver in listener.sessions:
                session = driver.session
                if session is not None:
                    yield LiveSession(session.session_id, session.principal, session.target, driver.source), driver


def ended_by(who: str, reason: str) -> Refusal:
    """What the client of a session reads that somebody ended."""
    why = f"this session was ended by {who}: {reason}"
    return Refusal(RefusalKind.EXPIRED, why, "ask them before you connect again")
