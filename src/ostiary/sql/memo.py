"""A bounded memo that is quick to read: two generations of a dict instead of a list of uses."""

from typing import Final, Generic, TypeVar

V = TypeVar("V")
MAX_ENTRIES: Final = 4096
MAX_CHARACTERS: Final = 4 << 20
#: Longer keys are not worth keeping.
MAX_KEY: Final = 8192


class Memo(Generic[V]):
    """Text to value. At most twice the limits; what was used since the last turn survives the next."""

    __slots__ = ("_characters", "_new", "_old")

    def __init__(self) -> None:
        self._new: dict[str, V] = {}
        self._old: dict[str, V] = {}
        self._characters = 0

    def get(self, key: str) -> V | None:
        """The value kept for the key."""
        value = self._new.get(key)
        if value is None and self._old:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: str, value: V) -> None:
        """Keep a value."""
        if len(key) > MAX_KEY:
            return
        if len(self._new) >= MAX_ENTRIES or self._characters > MAX_CHARACTERS:
            self._old, self._new, self._characters = self._new, {}, 0
        self._new[key] = value
        self._characters += len(key)
