"""What a change to declarations comes to, resource by resource and field by field. Nothing here changes anything."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ostiary.resources import Declared, Key, ResourceKind, StoredResource, title

#: As URLs, and the audit log, name the kinds.
PATHS: Final[Mapping[ResourceKind, str]] = {
    ResourceKind.TARGET: "targets",
    ResourceKind.ISSUER: "issuers",
    ResourceKind.POLICY: "policies",
    ResourceKind.CLASSIFICATION: "classifications",
    ResourceKind.MASKING: "masking",
    ResourceKind.APPROVAL_GROUP: "approval-groups",
}


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A file declares it, and files are changed as files."""

    def __init__(self, key: Key, place: str) -> None:
        super().__init__(f"{title(key)} is declared at {place}, and read-only here")


class Change(StrEnum):
    """What becomes of a resource."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field. None: it is not there."""

    #: Dotted.
    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Planned:
    """One resource."""

    key: Key
    change: Change
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    #: FILE:LINE, where a file declares it just so.
    place: str | None = None

    @property
    def is_put(self) -> bool:
        """It is stored, and was not as it is."""
        return self.change in (Change.CREATE, Change.CHANGE)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Field by field."""
        return () if self.change is Change.UNCHANGED else tuple(_differences(self.before or {}, self.after or {}, ""))


def planned(
    wanted: Mapping[Key, Mapping[str, Any] | None],
    stored: Mapping[Key, StoredResource],
    declared: Mapping[Key, Declared],
) -> list[Planned]:
    """By kind and name. `wanted` None: it is not to be. Raises Refused."""
    order = list(ResourceKind)
    return [
        _planned(key, wanted[key], stored.get(key), declared.get(key))
        for key in sorted(wanted, key=lambda key: (order.index(key.kind), key.name))
    ]


def _planned(
    key: Key, document: Mapping[str, Any] | None, stored: StoredResource | None, declared: Declared | None
) -> Planned:
    after = None if document is None else unnamed(key, document)
    # A resource that is stored as well is one too many, and may go.
    if declared is not None and after is not None:
        if after != declared.document:
            raise Refused(key, declared.place)
        return Planned(key, Change.UNCHANGED, declared.document, after, declared.place)
    before = None if stored is None else stored.document
    if before == after:
        return Planned(key, Change.UNCHANGED, before, after)
    change = Change.CREATE if before is None else Change.DELETE if after is None else Change.CHANGE
    return Planned(key, change, before, after)


def unnamed(key: Key, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without the names that it is known by; others are left for whoever validates it."""
    match key.kind:
        case ResourceKind.TARGET | ResourceKind.ISSUER:
            names = {"name": key.name}
        case ResourceKind.CLASSIFICATION:
            target, _, rest = key.name.partition("/")
            names = {"target": target, "object": rest}
        case _:
            names = {}
    return {setting: value for setting, value in document.items() if setting not in names or value != names[setting]}


def patched(document: Any, patch: Any) -> Any:
    """A JSON merge patch applied (RFC 7396): null takes a member away."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = patched(found.get(name), value)
    return found


def hidden(document: Mapping[str, Any]) -> dict[str, Any]:
    """For the audit log: where a secret is stands as a digest, which tells that it changed and not what it is."""
    return {name: _hidden(name, value) for name, value in document.items()}


def _hidden(name: str, value: Any) -> Any:
    if name == "password":
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
        return f"a reference ({digest[:8]})"
    return hidden(value) if isinstance(value, Mapping) else value


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], at: str) -> Iterator[Difference]:
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{at}{name}.")
        elif old != new or (name in before) is not (name in after):
            yield Difference(f"{at}{name}", old, new)
