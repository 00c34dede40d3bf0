"""Whether what was recorded is whole, asked of a running gateway."""

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ostiary.control.access import Access, Caller
from ostiary.control.paging import Reader
from ostiary.policy import ControlAction
from ostiary.recording import State, TrustedKeys, Verdict, verify_all

#: Files whose findings are told.
MAX_TOLD: Final = 100


class Busy(Exception):  # noqa: N818 - reads as what happened
    """One of these runs already; it is one at a time."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found."""

    #: Files by state.
    states: dict[State, int]
    #: Those that are tampered with or can't be read, at most MAX_TOLD of them.
    bad: tuple[Verdict, ...]
    #: Lines in all files.
    records: int

    @property
    def whole(self) -> bool:
        """No file is tampered with or unreadable."""
        return not self.bad


class Verifier:
    """The use-case."""

    def __init__(self, access: Access, directory: Path, keys: TrustedKeys, reader: Reader) -> None:
        """`directory`: of recordings. `keys`: the gateway's own."""
        self._access = access
        self._directory = directory
        self._keys = keys
        self._reader = reader
        self._running = threading.Lock()

    async def verify(self, caller: Caller) -> Verification:
        """Check every recording, heads log and audit log. Raises Denied, Busy, OSError."""
        self._access.require(caller, ControlAction.AUDIT)
        gone = threading.Event()
        try:
            return await self._reader.read(lambda: self._verified(gone))
        finally:
            # Whoever waited may have left: the thread stops at the next file.
            gone.set()

    def _verified(self, gone: threading.Event) -> Verification:
        if not self._running.acquire(blocking=False):
            raise Busy("a verification runs already: try again when it is done")
        try:
            states: Counter[State] = Counter()
            bad: list[Verdict] = []
            records = 0
            for verdict in verify_all(self._directory, self._keys):
                states[verdict.state] += 1
                records += verdict.records
                if verdict.state in (State.TAMPERED, State.UNREADABLE) and len(bad) < MAX_TOLD:
                    bad.append(verdict)
                if gone.is_set():
                    break
            return Verification(dict(states), tuple(bad), records)
        finally:
            self._running.release()
