"""What a client is told: options and variables first, then a small file, then defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import yaml

from ostiary.client.saved import Login
from ostiary.client.sources import DEFAULT_AUDIENCE, Kind, Wanted

_PORT: Final = 5432
_MAX_FILE: Final = 64 * 1024
_WHENCE: Final = {"source": None, "token_file": None, "variable": None}


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be said, as options, variables or in the file; None says nothing."""

    gateway: str | None = None
    ca: str | None = None
    server_name: str | None = None
    audience: str | None = None
    issuer: str | None = None
    source: Kind | None = None
    token_file: str | None = None
    variable: str | None = None

    def over(self, other: "Told") -> "Told":
        """This, and what it does not say from the other. Where this says whence the token comes, it says all of it."""
        mine = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        if mine.keys() & _WHENCE.keys():
            other = msgspec.structs.replace(other, **_WHENCE)
        return msgspec.structs.replace(other, **mine)

    def wanted(self) -> Wanted:
        """Which token."""
        source = Kind.FILE if self.token_file else Kind.ENV if self.variable else self.source
        return Wanted(
            self.audience or DEFAULT_AUDIENCE, self.issuer, source, self.token_file, self.variable or "OSTIARY_TOKEN"
        )

    def beside(self, login: Login | None) -> "Told":
        """At the gateway of this login, with the authority that the login knows unless another is named."""
        if login is None:
            return self
        return msgspec.structs.replace(self, gateway=login.gateway, ca=self.ca or login.ca)

    def address(self) -> "Address":
        """The gateway. Raises ValueError with a sentence."""
        if not self.gateway:
            raise ValueError("no gateway is named: give --gateway HOST:PORT, set OSTIARY_GATEWAY, or log in")
        host, colon, port = self.gateway.rpartition(":")
        if not colon or self.gateway.endswith("]"):
            host, port = self.gateway, str(_PORT)
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        if (
            not host
            or "/" in host
            or (":" in host) is not bracketed
            or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16)
        ):
            raise ValueError(f'the gateway "{self.gateway}" is not HOST:PORT')
        return Address(host, int(port), self.server_name or host, self.ca)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway is, and how it is known.

    Attributes:
        name: that its certificate must have.
        ca: PEM file of the authorities that may sign it; None are the system's.
    """

    host: str
    port: int
    name: str
    ca: str | None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def file_of(environment: Mapping[str, str]) -> Path:
    """Where the file is looked for (XDG Base Directory)."""
    if named := environment.get("OSTIARY_CLIENT_CONFIG"):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    return Path(home) / "ostiary" / "client.yaml"


def load(environment: Mapping[str, str]) -> Told:
    """What the file says; nothing where there is none and none was named. Raises ValueError with a sentence."""
    path = file_of(environment)
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
    except FileNotFoundError:
        if environment.get("OSTIARY_CLIENT_CONFIG"):
            raise ValueError(f"{path} does not exist, and OSTIARY_CLIENT_CONFIG names it") from None
        return Told()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if len(text) > _MAX_FILE:
        raise ValueError(f"{path} is larger than {_MAX_FILE} bytes")
    try:
        said = yaml.safe_load(text)
        told = Told() if said is None else msgspec.convert(said, Told)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{path} is not YAML") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
    # Files are named as seen from the file that names them.
    beside = {
        name: str(path.parent / Path(value).expanduser())
        for name in ("ca", "token_file")
        if (value := getattr(told, name)) is not None
    }
    return msgspec.structs.replace(told, **beside)
