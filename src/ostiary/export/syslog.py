"""Syslog messages (RFC 5424) over TLS (RFC 5425): octet-counted, on one connection that is kept.

The transport has no acknowledgement: what the system took counts as delivered.
"""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from ostiary.export.config import SyslogSettings

CONNECT_SECONDS: Final = 10.0
SEND_SECONDS: Final = 30.0
#: Facility "log audit" (13), RFC 5424 table 1.
_FACILITY: Final = 13
#: OCSF severity → severity of RFC 5424 table 2: informational, notice, warning.
_SEVERITY: Final = {1: 6, 2: 5, 3: 4}
_NAME: Final = re.compile(r"[^!-~]")


class SyslogSink:
    """One collector."""

    def __init__(self, settings: SyslogSettings) -> None:
        """Raises OSError, ssl.SSLError."""
        self._settings = settings
        self._tls = ssl.create_default_context(cafile=settings.ca)
        # RFC 9662 asks for TLS 1.2 at least.
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert is not None:
            self._tls.load_cert_chain(settings.cert, settings.key)
        self._writer: asyncio.StreamWriter | None = None
        self._host = _NAME.sub("_", socket.gethostname())[:255] or "-"

    async def deliver(self, events: Sequence[bytes]) -> None:
        """Raises OSError, TimeoutError."""
        writer = await self._connected()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                for event in events:
                    message = self.message(event)
                    writer.write(b"%d %b" % (len(message), message))
                    await writer.drain()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Never raises."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await writer.wait_closed()

    def message(self, event: bytes) -> bytes:
        """HEADER, STRUCTURED-DATA, MSG with its BOM (RFC 5424, 6)."""
        told: dict[str, Any] = msgspec.json.decode(event)
        priority = _FACILITY * 8 + _SEVERITY.get(told["severity_id"], 6)
        at = datetime.fromtimestamp(told["time"] / 1000, UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        uid = _escaped(told["metadata"]["uid"])
        # 32473 is the enterprise number for examples (RFC 5612): this project has none of its own.
        data = f'[event@32473 uid="{uid}" class="{told["class_uid"]}" type="{told["type_uid"]}"]'
        head = f"<{priority}>1 {stamp} {self._host} ostiary {os.getpid()} ocsf {data} "
        return head.encode() + b"\xef\xbb\xbf" + event

    async def _connected(self) -> asyncio.StreamWriter:
        writer = self._writer
        if writer is not None and not writer.is_closing():
            return writer
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                self._settings.host, self._settings.port, ssl=self._tls, server_hostname=self._settings.host
            )
        del reader
        self._writer = writer
        return writer


def _escaped(value: str) -> str:
    """PARAM-VALUE (RFC 5424, 6.3.3)."""
    return re.sub(r'(["\\\]])', r"\\\1", value)
