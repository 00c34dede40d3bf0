"""A form that was posted: each parameter once, but those that may be repeated (RFC 6749 §3.2, RFC 8693 §2.1)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from ostiary.oauth.errors import InvalidRequestError

_MOST: Final = 32
_REPEATED: Final = ("audience", "resource")


@dataclass(frozen=True, slots=True, repr=False)
class Form:
    """A request. It holds secrets and is never shown."""

    #: Name → values; an empty value counts as none.
    values: dict[str, list[str]]
    #: The Authorization header; empty when there is none.
    authorization: str
    #: Address of the client, "ip:port".
    source: str
    #: The client's certificate on this connection, in DER; empty when it showed none.
    certificate: bytes = b""

    @classmethod
    def read(cls, body: bytes, authorization: str, source: str, certificate: bytes = b"") -> "Form":
        """Raises InvalidRequestError."""
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST, errors="strict")
        except ValueError:
            raise InvalidRequestError("the body is not a form") from None
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, [])
            if value:
                values[name].append(value)
        if any(len(given) > 1 and name not in _REPEATED for name, given in values.items()):
            raise InvalidRequestError("a parameter is repeated")
        return cls(values, authorization, source, certificate)

    def get(self, name: str) -> str:
        """A parameter; empty when it is missing."""
        given = self.values.get(name)
        return given[0] if given else ""

    def required(self, name: str) -> str:
        """Raises InvalidRequestError."""
        value = self.get(name)
        if not value:
            raise InvalidRequestError(f"{name} is missing")
        return value
