"""JSON of the API to the rooms' own dataclasses. The gateway is believed about what it says, not about its shape."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ostiary.client.api import ApiFailed

T = TypeVar("T")


def view(kind: type[T], found: object, times: tuple[str, ...] = (), **more: object) -> T:
    """A dataclass of a JSON object; what it does not know is left out.

    Args:
        kind: the dataclass.
        found: the JSON.
        times: members that are RFC 3339, and Unix seconds in the dataclass.
        more: members that the API does not have, or has elsewhere.

    Raises:
        ApiFailed: it does not fit.
    """
    try:
        plain = {**msgspec.convert(found, dict[str, Any]), **more}
        for name in times:
            plain[name] = _seconds(plain.get(name))
        return msgspec.convert(plain, kind, dec_hook=_path)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise ApiFailed(f"the API's answer can't be read: {error}", "is the gateway of this version?") from None


def members(found: Mapping[str, Any], name: str) -> list[Any]:
    """A list in an answer. Raises ApiFailed."""
    value = found.get(name)
    if not isinstance(value, list):
        raise ApiFailed(f"the API's answer has no {name}", "is the gateway of this version?")
    return value


def decoded(raw: bytes) -> object:
    """A line of JSON. Raises ApiFailed."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise ApiFailed("a line of the API's answer is no JSON", "is it the API of a gateway?") from None


def rfc3339(seconds: float | None) -> str:
    """Unix seconds for a query; "" for None."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _seconds(at: object) -> float | None:
    return None if at is None else datetime.fromisoformat(str(at)).timestamp()


def _path(kind: type[Any], value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("a member that is not known")
