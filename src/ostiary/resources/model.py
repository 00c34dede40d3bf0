"""One declaration, and all of them at one revision."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

#: Bytes of a document as compact JSON.
MAX_DOCUMENT: Final = 64 * 1024
#: Stored resources, and the bytes of their documents, together.
MAX_RESOURCES: Final = 4096
MAX_TOTAL: Final = 4 << 20
_MAX_NAME: Final = 300
_MAX_DEPTH: Final = 16


class ResourceKind(StrEnum):
    """What may be declared."""

    TARGET = "target"
    ISSUER = "issuer"
    POLICY = "policy"
    CLASSIFICATION = "classification"
    MASKING = "masking"
    APPROVAL_GROUP = "approval-group"


class Key(NamedTuple):
    """What a resource is known by. Of a policy the name is the rule's `@id`, of a classification `TARGET/OBJECT`."""

    kind: ResourceKind
    name: str


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One declaration. The document is a section of the configuration file, without the name."""

    kind: ResourceKind
    name: str
    document: Mapping[str, Any] = field(repr=False)
    #: Of the whole, at the change that made it what it is.
    revision: int = 0
    #: Unix seconds.
    changed_at: float = 0.0
    #: A principal's id.
    changed_by: str = ""

    @property
    def key(self) -> Key:
        """Kind and name."""
        return Key(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Declared:
    """An entry of the configuration's files."""

    #: FILE:LINE.
    place: str
    #: As it stands there, without its name.
    document: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredResources:
    """All of them, by kind and name, at one revision."""

    revision: int
    items: tuple[StoredResource, ...]


def title(key: Key) -> str:
    """As sentences name it."""
    return f'{key.kind.value} "{key.name}"'


def checked(resource: StoredResource) -> StoredResource:
    """A resource that may be stored, as far as its size and name go. Raises ValueError with a sentence."""
    name, what = resource.name, title(Key(resource.kind, resource.name[:_MAX_NAME]))
    if not name or len(name) > _MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(f"{resource.kind.value}: its name must be 1 to {_MAX_NAME} printable characters")
    if _too_deep(resource.document):
        raise ValueError(f"{what}: nested deeper than {_MAX_DEPTH}")
    if len(encoded(resource.document)) > MAX_DOCUMENT:
        raise ValueError(f"{what}: larger than {MAX_DOCUMENT} bytes")
    return resource


def within_bounds(resources: Iterable[StoredResource]) -> None:
    """Raises ValueError when these are more than may be kept."""
    sizes = [len(encoded(each.document)) for each in resources]
    if len(sizes) > MAX_RESOURCES:
        raise ValueError(f"more than {MAX_RESOURCES} resources would be stored")
    if sum(sizes) > MAX_TOTAL:
        raise ValueError(f"the stored resources would be larger than {MAX_TOTAL} bytes together")


def encoded(document: Mapping[str, Any]) -> bytes:
    """Compact JSON. Raises ValueError for what JSON has no word for."""
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("a resource must be plain JSON: text, numbers, true, false, null, lists, mappings") from None


def _too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True
