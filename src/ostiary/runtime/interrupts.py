"""Which session a key may interrupt: a request comes on a connection of its own, as PostgreSQL's cancel does.

Not among the compiled modules: tests inherit from it, which a compiled class does not bear.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ostiary.wire.contract import Event, Interrupted


class Interruptible(Protocol):
    """A session's driver, as far as this goes."""

    def event(self, event: Event) -> None:
        """Feed one event to the engine."""


class Interrupts:
    """Who may be interrupted by which key. One per process."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Interruptible] = {}
        #: Asks another worker; None: there is none.
        self.elsewhere: Callable[[int, bytes], Coroutine[Any, Any, bool]] | None = None

    def register(self, key: bytes, driver: Interruptible) -> None:
        """A session's cancel key, for as long as the session lives."""
        self._by_key[key] = driver

    def forget(self, key: bytes) -> None:
        """The session ended."""
        self._by_key.pop(key, None)

    def interrupt(self, key: bytes) -> bool:
        """Was it a key? An unknown one is ignored, as PostgreSQL does: no answer tells a guesser anything."""
        driver = self._by_key.get(key)
        if driver is not None:
            driver.event(Interrupted())
        return driver is not None
