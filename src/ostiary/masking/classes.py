"""Which classes an object carries.

Names are compared without the quotes that `core.naming` puts around odd parts: whoever forgets them, here or where a
name is made, gets more masked, not less.
"""

from collections.abc import Iterable

from ostiary.core.naming import UNRESOLVED
from ostiary.masking.model import Classification


class ClassMap:
    """Classes of one target's objects. Names carry the target's prefix: `orders/public.customers.email`."""

    def __init__(self, target: str, classification: Iterable[Classification]) -> None:
        self._entries: dict[str, frozenset[str]] = {}
        for entry in classification:
            if entry.target == target:
                name = _plain(f"{target}/{entry.object}")
                self._entries[name] = self._entries.get(name, frozenset()) | {entry.data_class}
        #: Every class of the target: what unknown values may carry.
        self.everything: frozenset[str] = frozenset().union(*self._entries.values())

    def exact(self, name: str) -> frozenset[str]:
        """Classes an entry gives to this very object."""
        return self._entries.get(_plain(name), frozenset())

    def touching(self, name: str) -> frozenset[str]:
        """Classes of the nearest entry at or above the object, and of every entry below it."""
        if f"/{UNRESOLVED}." in name:
            return self.everything
        name = _plain(name)
        found = self._above(name)
        for entry, classes in self._entries.items():
            if entry.startswith(name) and entry[len(name) : len(name) + 1] in (".", "/"):
                found |= classes
        return found

    def of_all(self, names: Iterable[str]) -> frozenset[str]:
        """Classes of any of the objects."""
        return frozenset().union(*map(self.touching, names))

    def words(self) -> frozenset[str]:
        """The words that classified names are made of."""
        return frozenset(word for name in self._entries for word in name.partition("/")[2].split("."))

    def _above(self, name: str) -> frozenset[str]:
        end = len(name)
        while end > 0:
            classes = self._entries.get(name[:end])
            if classes is not None:
                return classes
            end = max(name.rfind(".", 0, end), name.rfind("/", 0, end))
        return frozenset()


def _plain(name: str) -> str:
    return name.replace('"', "")
