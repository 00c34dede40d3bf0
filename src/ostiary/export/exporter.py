"""Each sink on its own: read on, deliver, acknowledge; again while it fails; pass over or refuse when it is full."""

import asyncio
import contextlib
import fcntl
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from ostiary.core import Refusal, RefusalKind
from ostiary.credentials.source import SecretUnavailable
from ostiary.export.config import AnySink, OnFull, OtlpSettings
from ostiary.export.ocsf import Events
from ostiary.export.sinks import Rejected, Sink, SinkFailed, sink_of
from ostiary.export.spans import Spans
from ostiary.export.tail import Tail, Teller
from ostiary.gate.ports import Recorder, Recording, Refused
from ostiary.telemetry import Meter, families

log = structlog.get_logger()

BATCH: Final = 200
#: Seconds from one look at the recordings to the next.
POLL_SECONDS: Final = 1.0
#: Seconds until a delivery that failed is tried again: from, to.
FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 60.0
#: Seconds for what is left when the gateway stops.
CLOSE_SECONDS: Final = 10.0
#: Bytes of events that were rejected and are kept for a person to look at.
MAX_REJECTED: Final = 16 * 1024 * 1024
_LOCK: Final = "exporter.lock"


class Exporter:
    """The sinks of one gateway, whatever processes record.

    Of those that share a directory one exports: it holds a lock there. Another waits, and goes on where that one ended.

    Args:
        sinks: as configured.
        recordings: directory that is read.
        directory: for cursors, flags and rejected events; made when it is missing.
        meter: counts.
        pause: waits so many seconds.

    Raises:
        OSError, ValueError, SecretUnavailable: for what a sink is configured with.
    """

    def __init__(
        self,
        sinks: Sequence[AnySink],
        recordings: Path,
        directory: Path,
        meter: Meter,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._pause = pause
        self._feeds = [
            _Feed(each, sink_of(each), _tail(each, recordings, directory), directory, meter, pause) for each in sinks
        ]
        # Last: nothing that fails leaves it held.
        self._lock = _lock(directory)
        meter.source(lambda: [(families.EXPORT_BACKLOG, (feed.name,), feed.backlog) for feed in self._feeds])

    async def run(self) -> None:
        """Until it is cancelled."""
        if self._lock is None:
            await self._wait()
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.run())

    async def close(self) -> None:
        """Tell what was recorded by now, as far as the sinks take it at once; close them. Never raises."""
        await asyncio.gather(*(feed.close(tell=self._lock is not None) for feed in self._feeds))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _wait(self) -> None:
        log.warning("export: another process exports here; this one does once that has ended", at=str(self._directory))
        while (lock := _lock(self._directory)) is None:
            await self._pause(POLL_SECONDS)
        self._lock = lock
        for feed in self._feeds:
            feed.read_again()
        log.info("export: this process exports from now on", at=str(self._directory))


class _Feed:
    """One sink, and what it is fed from."""

    def __init__(
        self,
        settings: AnySink,
        sink: Sink,
        tail: Tail,
        directory: Path,
        meter: Meter,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.name = settings.common.name
        #: Bytes, at the last look.
        self.backlog = 0
        self._common = settings.common
        self._sink = sink
        self._tail = tail
        self._flag = flag_of(directory, self.name)
        self._rejected = directory / f"{self.name}.rejected"
        self._meter = meter
        self._pause = pause
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                seconds = 0.0 if await self.step() else POLL_SECONDS
            except Exception as error:  # noqa: BLE001 - nothing was acknowledged, so it is read and tried again
                seconds = self._failed(error)
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        """Meanwhile what is recorded goes on growing."""
        while True:
            await self._pause(min(seconds, POLL_SECONDS))
            seconds -= POLL_SECONDS
            if seconds <= 0:
                return
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._bound)

    async def step(self) -> bool:
        """Deliver one batch. False: there was nothing."""
        await asyncio.to_thread(self._bound)
        batch = await asyncio.to_thread(self._tail.read, BATCH)
        if batch.events:
            await self._deliver(batch.events)
        await asyncio.to_thread(self._tail.acknowledge, batch)
        self._failures = 0
        return bool(batch.events)

    def read_again(self) -> None:
        self._tail.load()

    async def close(self, *, tell: bool) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while tell and await self.step():
                    pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the cursor stays where it was
            log.warning("export: not everything was told; it will be", sink=self.name, error=type(error).__name__)
        await self._sink.close()

    async def _deliver(self, events: Sequence[bytes]) -> None:
        """What is rejected is halved, until the one event that is not wanted stands alone."""
        try:
            await self._sink.deliver(events)
        except Rejected as error:
            if len(events) > 1:
                half = len(events) // 2
                await self._deliver(events[:half])
                await self._deliver(events[half:])
                return
            await asyncio.to_thread(self._set_aside, events)
            self._meter.count(families.EXPORTED, self.name, "rejected")
            log.warning("export: an event was rejected", sink=self.name, why=str(error))
        else:
            self._meter.count(families.EXPORTED, self.name, "delivered", by=len(events))

    def _failed(self, error: Exception) -> float:
        """Seconds until the next attempt."""
        self._failures += 1
        self._meter.count(families.EXPORT_FAILED, self.name)
        asked = error.retry_after if isinstance(error, SinkFailed) else 0.0
        longest = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 16))
        seconds: float = max(asked, random.uniform(longest / 2, longest))  # noqa: S311 - spreads attempts, hides nothing
        why = str(error) if isinstance(error, SinkFailed | SecretUnavailable) else type(error).__name__
        log.warning("export: not delivered", sink=self.name, why=why, again_in=round(seconds, 1))
        return seconds

    def _bound(self) -> None:
        limit = self._common.max_backlog
        self.backlog = self._tail.backlog()
        full = self.backlog > limit
        if full and self._common.on_full is OnFull.DROP:
            dropped = self._tail.drop(limit)
            self._meter.count(families.EXPORT_DROPPED, self.name, by=dropped)
            log.error("export: records were passed over", sink=self.name, bytes=dropped)
        elif full:
            self._flag.touch(mode=0o600)
        else:
            self._flag.unlink(missing_ok=True)

    def _set_aside(self, events: Sequence[bytes]) -> None:
        data = b"".join(event + b"\n" for event in events)
        fd = os.open(self._rejected, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size + len(data) <= MAX_REJECTED:
                os.write(fd, data)
        finally:
            os.close(fd)


def teller_of(settings: AnySink) -> Teller:
    """What a sink is told."""
    return Spans(settings.sample) if isinstance(settings, OtlpSettings) else Events(settings.common.statements)


def _tail(settings: AnySink, recordings: Path, directory: Path) -> Tail:
    # A trace is looked at while it is new; what an audit is made of is all told.
    from_now = isinstance(settings, OtlpSettings)
    return Tail(recordings, directory / f"{settings.common.name}.cursor", teller_of(settings), from_now)


def _lock(directory: Path) -> int | None:
    """Held until it is closed; None: another holds it. Raises OSError."""
    fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def flag_of(directory: Path, sink: str) -> Path:
    """The file that is there while a sink that refuses is full; every process of the gateway sees it."""
    return directory / f"{sink}.full"


@dataclass(frozen=True, slots=True)
class StopsWhenFull:
    """Recordings that are not begun while a sink is full which must be told everything. Implements `Recording`."""

    behind: Recording
    #: Sink → its flag.
    flags: tuple[tuple[str, Path], ...]

    def open(self, session_id: str) -> Recorder:
        """As the port says. Raises Refused(RECORDING)."""
        for sink, flag in self.flags:
            if flag.exists():
                why = f'export sink "{sink}" is full, and nothing may go on that it is not told'
                raise Refused(Refusal(RefusalKind.RECORDING, why, "whoever runs the gateway must look at the sink"))
        return self.behind.open(session_id)
