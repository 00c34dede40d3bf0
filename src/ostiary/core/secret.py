"""A value that must never be seen by accident: its repr, str, format and pickle give nothing away."""

import hmac
from typing import Final, NoReturn

_HIDDEN: Final = "Secret(***)"


class Secret:
    """Holds a secret as bytes. `reveal()` and `reveal_text()` are the only ways out, and easy to grep for."""

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The secret as bytes. Call it where the secret is used, and keep no copy."""
        return self._value

    def reveal_text(self) -> str:
        """The secret as text. Raises ValueError, without the value, when it is not UTF-8."""
        try:
            return self._value.decode()
        except UnicodeDecodeError:
            raise ValueError("the secret is not UTF-8 text") from None

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        raise TypeError("a Secret is not hashable: it must not become a key of a cache")

    def __repr__(self) -> str:
        return _HIDDEN

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
