"""Where local clients come: a Unix socket that its owner alone can reach, or a port of loopback."""

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]
#: libpq finds a Unix socket by directory and port: `.s.PGSQL.5432`.
_PORT: Final = 5432
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: host is a directory for a Unix socket, as libpq has it."""

    host: str
    port: int

    def url(self, target: str, userinfo: str = "ostiary") -> str:
        """A connection URI (PostgreSQL documentation, "Connection URIs")."""
        database = quote(target, safe="")
        if self.host.startswith("/"):
            return f"postgresql://{userinfo}@/{database}?host={quote(self.host)}&port={self.port}"
        return f"postgresql://{userinfo}@{self.host}:{self.port}/{database}?sslmode=disable"


@asynccontextmanager
async def on_socket(accept: Accept, directory: Path | None) -> AsyncIterator[Place]:
    """Listen on a Unix socket of mode 0600 in a directory of mode 0700.

    Args:
        accept: serves a client.
        directory: made where it is missing; None makes one that is removed in the end.

    Raises:
        OSError: it can't be made, others can write to it, or somebody listens there.
    """
    made = None
    if directory is None:
        made = directory = Path(tempfile.mkdtemp(prefix="ostiary-", dir=os.environ.get("XDG_RUNTIME_DIR")))
    path = directory.absolute() / f".s.PGSQL.{_PORT}"
    try:
        _check(directory, path)
        server = await asyncio.start_unix_server(accept, path)
        try:
            path.chmod(0o600)
            async with server:
                yield Place(str(path.parent), _PORT)
        finally:
            path.unlink(missing_ok=True)
    finally:
        if made is not None:
            with suppress(OSError):
                made.rmdir()


@asynccontextmanager
async def on_port(accept: Accept, port: int) -> AsyncIterator[Place]:
    """Listen on 127.0.0.1; port 0 lets the system choose. Raises OSError."""
    async with await asyncio.start_server(accept, _LOOPBACK, port) as server:
        yield Place(_LOOPBACK, server.sockets[0].getsockname()[1])


def _check(directory: Path, path: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(1, "others can reach this directory; name one of mode 0700 that is yours", str(directory))
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise FileExistsError(17, "somebody listens there already", str(path))
