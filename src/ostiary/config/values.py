"""Values that sections of the file are made of: names, durations, addresses, places of secrets."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from ostiary.core.duration import DURATION, seconds
from ostiary.credentials import EnvSource, FileSource, SecretSource
from ostiary.protocols.registry import PROTOCOLS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%a-z]{2,64}\]")


class Section(BaseModel):
    """A mapping that knows all its settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError('write a name of 1 to 63 letters, digits, ".", "_" and "-"')
    return value


#: Begins certificates that are given as text in place of a file's name.
PEM = "-----BEGIN CERTIFICATE-----"
#: Listeners that are not of a protocol.
API = "api"
METRICS = "metrics"


def _listener(value: str) -> str:
    return value if value in (API, METRICS) else _protocol(value)


def _protocol(value: str) -> str:
    if value not in PROTOCOLS:
        raise ValueError(f"must be {' or '.join(map(repr, PROTOCOLS))}")
    return value


def _seconds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return seconds(value) if isinstance(value, str) else value


def _address(value: object) -> object:
    host, _, port = str(value).rpartition(":")
    if not _HOST.fullmatch(host) or not port.isascii() or not port.isdecimal() or int(port[:6]) > 65535:
        # Not quoted: whoever writes user:password@host learns it without a copy of it.
        raise ValueError('write an address as "host:port", or "[::1]:port"')
    return host.strip("[]"), int(port)


def remote(value: tuple[str, int]) -> tuple[str, int]:
    """An address that can be connected to. Raises ValueError."""
    if value[1] == 0:
        raise ValueError("port 0 can't be connected to")
    return value


def is_loopback(host: str) -> bool:
    """Can nobody but this machine reach it?"""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _texts(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


def _secret(value: object) -> object:
    if not isinstance(value, dict):
        # Pydantic turns a ValueError into a problem, and lets a TypeError through.
        raise ValueError("a secret never stands in this file: write {env: NAME} or {file: PATH}")  # noqa: TRY004
    return value


def _bound(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if not values or any(type(each) not in (str, int, bool) for each in values):
        raise ValueError("write text, a whole number, true or false, or a list of these")
    return tuple(value) if isinstance(value, list) else value


Name = Annotated[str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})]
ProtocolName = Annotated[str, AfterValidator(_protocol), WithJsonSchema({"type": "string", "enum": [*PROTOCOLS]})]
ListenerName = Annotated[
    str, AfterValidator(_listener), WithJsonSchema({"type": "string", "enum": [API, METRICS, *PROTOCOLS]})
]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{DURATION.pattern}$"}, {"type": "number"}]}),
]
Address = Annotated[tuple[str, int], BeforeValidator(_address), WithJsonSchema({"type": "string"})]
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
_ONE = [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]
Bound = Annotated[
    Any,
    BeforeValidator(_bound),
    WithJsonSchema({"anyOf": [*_ONE, {"type": "array", "items": {"anyOf": _ONE}, "minItems": 1}]}),
]


class SecretPlace(Section):
    """Where a secret is."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None) or not (self.env or self.file):
            raise ValueError("say where the secret is, in one place: {env: NAME} or {file: PATH}")
        return self

    def source(self, base: Path) -> SecretSource:
        """What reads it."""
        return EnvSource(self.env) if self.env is not None else FileSource(base / str(self.file))


Hidden = Annotated[SecretPlace, BeforeValidator(_secret)]
