"""Where events go. A sink acknowledges by returning."""

import hashlib
import hmac
import os
import ssl
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol, assert_never

import httpx2

from ostiary.export.config import AnySink, FileSettings, OtlpSettings, SyslogSettings, WebhookSettings
from ostiary.export.syslog import SyslogSink

#: Seconds that a webhook may take to answer, and that it may ask to be left alone.
_ANSWER_SECONDS: Final = 10.0
MAX_RETRY_AFTER: Final = 3600.0
_NO: Final = frozenset({400, 413, 415, 422})
SIGNATURE: Final = "X-Ostiary-Signature"
TIMESTAMP: Final = "X-Ostiary-Timestamp"


class SinkFailed(Exception):  # noqa: N818 - reads as what happened
    """Not delivered, and worth another attempt; at once, or after so many seconds."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Rejected(Exception):  # noqa: N818 - as above
    """Not delivered, and it would not be another time: the receiver does not want exactly this."""


class Sink(Protocol):
    """A receiver."""

    async def deliver(self, events: Sequence[bytes]) -> None:
        """Returns once they are the receiver's. Raises SinkFailed, Rejected, OSError, TimeoutError."""
        ...

    async def close(self) -> None:
        """Never raises."""
        ...


def sink_of(settings: AnySink, clock: Callable[[], float] = time.time) -> Sink:
    """Raises OSError, ssl.SSLError, ValueError for what it is configured with."""
    match settings:
        case FileSettings():
            return FileSink(settings)
        case SyslogSettings():
            return SyslogSink(settings)
        case WebhookSettings():
            return WebhookSink(settings, clock)
        case OtlpSettings():
            # Only who traces needs what the extra brings.
            try:
                from ostiary.export.otlp import OtlpSink
            except ImportError:
                raise ValueError("type otlp needs the extra otel: pip install 'ostiary[otel]'") from None
            return OtlpSink(settings)
        case _:
            assert_never(settings)


class FileSink:
    """One event a line. What is full is renamed to `.1`, `.2`, …, the oldest is removed."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings

    async def deliver(self, events: Sequence[bytes]) -> None:
        """A batch is written whole, or again."""
        settings = self._settings
        data = b"".join(event + b"\n" for event in events)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        if settings.path.exists() and settings.path.stat().st_size + len(data) > settings.max_bytes:
            self._rotate()
        fd = os.open(settings.path, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            try:
                written = os.write(fd, data)
                while written < len(data):
                    written += os.write(fd, data[written:])
                if settings.fsync:
                    os.fsync(fd)
            except OSError:
                # Half a line would spoil the next one.
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)

    async def close(self) -> None:
        """Nothing is open."""

    def _rotate(self) -> None:
        path, keep = self._settings.path, self._settings.keep
        for number in range(keep - 1, 0, -1):
            older = _numbered(path, number)
            if older.exists():
                older.replace(_numbered(path, number + 1))
        if keep:
            path.replace(_numbered(path, 1))
        else:
            path.unlink()


class WebhookSink:
    """POST of a JSON array. The signature is HMAC-SHA256 over the timestamp, a full stop and the body."""

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._tls = ssl.create_default_context(cafile=settings.ca)

    async def deliver(self, events: Sequence[bytes]) -> None:
        """2xx acknowledges; 400, 413, 415 and 422 are a no to these events; anything else is tried again."""
        body = b"[" + b",".join(events) + b"]"
        stamp = str(int(self._clock()))
        key = self._settings.secret.read().reveal()
        signature = hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", TIMESTAMP: stamp, SIGNATURE: f"v1={signature}"}
        client = httpx2.AsyncClient(verify=self._tls, timeout=_ANSWER_SECONDS, follow_redirects=False, trust_env=False)
        try:
            async with client, client.stream("POST", self._settings.url, content=body, headers=headers) as answer:
                status, wait = answer.status_code, answer.headers.get("retry-after", "")
        except httpx2.HTTPError as error:
            raise SinkFailed(type(error).__name__) from None
        if 200 <= status < 300:
            return
        if status in _NO:
            raise Rejected(f"status {status}")
        raise SinkFailed(f"status {status}", self._seconds(wait))

    async def close(self) -> None:
        """Nothing is open between deliveries."""

    def _seconds(self, wait: str) -> float:
        """Retry-After (RFC 9110, 10.2.3): seconds, or a date."""
        if wait.isascii() and wait.isdecimal():
            seconds = float(wait[:9])
        else:
            try:
                seconds = parsedate_to_datetime(wait).timestamp() - self._clock()
            except (ValueError, OverflowError):
                return 0.0
        return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
