"""What all scripts share: where to connect, and how what a driver gave becomes comparable."""

import datetime as dt
import decimal
import enum
import hashlib
import ipaddress
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.conninfo import make_conninfo

#: Longer values are compared by digest, so that a failure can be read.
_LONG = 300


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a script connects. `direct` is never looked at: a script does the same everywhere."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    #: PEM file to verify the server's certificate in full; None connects without TLS.
    ca: str | None = None

    def libpq(self, **more: str) -> dict[str, str]:
        """Connection parameters as libpq names them."""
        tls = {"sslmode": "disable"} if self.ca is None else {"sslmode": "verify-full", "sslrootcert": self.ca}
        return {
            "host": self.host,
            "port": str(self.port),
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            **tls,
            **more,
        }

    def conninfo(self, **more: str) -> str:
        """The same as libpq's connection string."""
        return make_conninfo(**self.libpq(**more))


def plain(value: Any) -> Any:  # noqa: C901 - one flat table of types
    """A value as JSON has it, its type kept apart where types differ."""
    match value:
        case None | bool() | int():
            return value
        case str():
            if len(value) > _LONG:
                return f"str:{len(value)}:{hashlib.sha256(value.encode()).hexdigest()}"
            return value
        case bytes() | bytearray() | memoryview():
            data = bytes(value)
            if len(data) > _LONG:
                return f"bytes:{len(data)}:{hashlib.sha256(data).hexdigest()}"
            return f"bytes:{data.hex()}"
        case float() | decimal.Decimal() | uuid.UUID() | dt.timedelta():
            return f"{type(value).__name__}:{value}"
        case dt.datetime() | dt.date() | dt.time():
            return f"{type(value).__name__}:{value.isoformat()}"
        case ipaddress.IPv4Address() | ipaddress.IPv6Address() | ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return f"ip:{value}"
        case ipaddress.IPv4Interface() | ipaddress.IPv6Interface():
            return f"ip:{value}"
        case enum.Enum():
            return f"{type(value).__name__}.{value.name}"
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            if len(value) > _LONG:
                return f"list:{len(value)}:{hashlib.sha256(repr([plain(v) for v in value]).encode()).hexdigest()}"
            return [plain(item) for item in value]
        case set() | frozenset():
            return sorted(map(str, value))
        case _ if hasattr(value, "items"):
            return plain(dict(value.items()))
        case _ if hasattr(value, "points"):
            return [type(value).__name__, plain(tuple(value.points))]
        case _:
            text = f"{type(value).__name__}:{value}"
            if " at 0x" in text:
                raise TypeError(f"{type(value).__name__} has no comparable form")
            return text


@dataclass(slots=True)
class Script:
    """Runs steps and keeps what each gave.

    Args:
        describe: an exception → what is comparable in it; None where it is no error of the driver's.
    """

    describe: Callable[[Exception], Any]
    steps: list[tuple[str, Any]] = field(default_factory=list)

    def step(self, name: str, do: Callable[..., Any], *args: Any, **named: Any) -> None:
        """Run; a driver's error is a result like any other."""
        try:
            self.steps.append((name, plain(do(*args, **named))))
        except Exception as error:  # noqa: BLE001 - what is no driver's error is raised again
            self._failed(name, error)

    async def astep(self, name: str, do: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> None:
        """The same for coroutines."""
        try:
            self.steps.append((name, plain(await do(*args, **named))))
        except Exception as error:  # noqa: BLE001 - what is no driver's error is raised again
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        described = self.describe(error)
        if described is None:
            error.add_note(f"in step {name!r}; before it: {self.steps[-1:]}")
            raise error
        self.steps.append((name, {"error": plain(described)}))
