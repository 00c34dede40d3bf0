"""Stored resources as part of the file: the same sections, the same rules, and a few more, for their author is another.

Who may change declarations through the API is not thereby somebody of the gateway's host. So what is stored names no
file of it, and no secret but those that the file says may be sent to that address.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ostiary.config.document import ConfigError, Document, Place
from ostiary.config.shape import File, Static
from ostiary.config.values import PEM, SecretPlace
from ostiary.resources import Declared, Key, ResourceKind, StoredResource, title

#: Section of the file; of lists, the settings that an entry's name is made of.
LISTS: Final[Mapping[ResourceKind, tuple[str, tuple[str, ...]]]] = {
    ResourceKind.TARGET: ("targets", ("name",)),
    ResourceKind.ISSUER: ("issuers", ("name",)),
    ResourceKind.CLASSIFICATION: ("classification", ("target", "object")),
}
MAPPINGS: Final[Mapping[ResourceKind, str]] = {
    ResourceKind.MASKING: "masking",
    ResourceKind.APPROVAL_GROUP: "approvals",
}
#: Settings that stored targets and issuers may have; one that is not here names something of the host, or is too new.
_FREE: Final[Mapping[ResourceKind, frozenset[str]]] = {
    ResourceKind.TARGET: frozenset(
        {"name", "protocol", "address", "database", "databases", "tls", "mode", "ca", "labels", "recording"}
        | {"credential", "type", "username", "password", "admin", "member_of", "reassign_to", "max_ttl"}
        | {"connection_limit", "detectors"}
    ),
    ResourceKind.ISSUER: frozenset(
        {"name", "type", "kind", "bind", "max_session", "audience", "groups", "leeway", "session_grace", "jwks_uri"}
        | {"jwks", "algorithms", "issuer", "azp", "tenant", "organization", "trust_domain", "bundle_url", "regions"}
        | {"max_age"}
    ),
}
_NOT_ALLOWED: Final = (
    "this secret may not be sent to this address by what is declared through the API: "
    "list both under server.allow_references in the configuration file"
)
#: Their entries are names of the author's own, or looked at by themselves.
_OPEN: Final = frozenset({"labels", "bind", "jwks", "detectors", "password"})


def declared(document: Document) -> dict[Key, Declared]:
    """Every entry of the file that has a name. Policies have files of their own."""
    found: dict[Key, Declared] = {}
    data = document.data if isinstance(document.data, dict) else {}
    for kind, (section, names) in LISTS.items():
        entries = data.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in names):
                rest = {setting: value for setting, value in entry.items() if setting not in names}
                key = Key(kind, "/".join(entry[name] for name in names))
                found.setdefault(key, Declared(document.where((section, index)), rest))
    for kind, section in MAPPINGS.items():
        entries = data.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            rest = entry if isinstance(entry, dict) else {}
            found[Key(kind, str(name))] = Declared(document.where((section, name)), rest)
    return found


def merged(document: Document, stored: Sequence[StoredResource]) -> Document:
    """The file with these in it. Raises ConfigError when it declares one of them itself."""
    there = declared(document)
    taken = [
        f"{title(each.key)}: {there[each.key].place} declares it already: remove one of both"
        for each in stored
        if each.key in there
    ]
    if taken:
        raise ConfigError(taken)
    if not isinstance(document.data, dict):
        return document
    data = copy.deepcopy(document.data)
    lines = dict(document.lines)
    entries: dict[Place, Key] = {}
    for each in stored:
        if each.kind is ResourceKind.POLICY:
            continue
        place, entry = _entered(data, each)
        if place:
            entries[place] = each.key
            # Behind all lines of the file.
            lines |= dict.fromkeys(_places(entry, place), 1 << 30)
            lines.setdefault(place[:1], 1 << 30)
    return Document(document.path, data, lines, entries)


def _entered(data: dict[Any, Any], resource: StoredResource) -> tuple[Place, object]:
    """Where it stands now; () where the section of the file is no section."""
    entry = copy.deepcopy(dict(resource.document))
    if resource.kind in LISTS:
        section, names = LISTS[resource.kind]
        target, _, rest = resource.name.partition("/")
        own = (resource.name,) if len(names) == 1 else (target, rest)
        for name, value in zip(names, own, strict=True):
            if entry.setdefault(name, value) != value:
                raise ConfigError([f'{title(resource.key)}: {name}: must be "{value}", as it is called'])
        held = data.setdefault(section, [])
        if not isinstance(held, list):
            return (), None
        held.append(entry)
        return (section, len(held) - 1), entry
    section = MAPPINGS[resource.kind]
    held = data.setdefault(section, {})
    if not isinstance(held, dict):
        return (), None
    held[resource.name] = entry
    return (section, resource.name), entry


def _places(value: object, at: Place) -> Iterator[Place]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        yield from _places(each, (*at, step))


def policies(stored: Sequence[StoredResource]) -> dict[str, str]:
    """Rules by `@id`. Raises ConfigError."""
    found = {}
    for each in stored:
        if each.kind is ResourceKind.POLICY:
            text = each.document.get("text")
            if not isinstance(text, str) or len(each.document) != 1:
                raise ConfigError([f"{title(each.key)}: its document is {{text: …}}, the rule in Cedar"])
            found[each.name] = text
    return found


def problems(document: Document, file: File | None) -> Iterator[tuple[Place, str]]:
    """What stored entries may not say."""
    for place, key in document.stored.items():
        free = _FREE.get(key.kind)
        entry = document.data[place[0]][place[1]]  # type: ignore[index]
        if free is not None:
            yield from _unfree(entry, place, free)
        if file is not None and key.kind is ResourceKind.TARGET:
            yield from _references(file, int(place[1]), place)
        if file is not None and key.kind is ResourceKind.CLASSIFICATION:
            yield from _weaker(document, file, int(place[1]), place)


def _weaker(document: Document, file: File, index: int, at: Place) -> Iterator[tuple[Place, str]]:
    """The nearest entry counts: one inside of what the file classifies would take the place of the file's."""
    inner = file.classification[index]
    for number, outer in enumerate(file.classification):
        place = ("classification", number)
        if place in document.stored or outer.target != inner.target:
            continue
        if f"{_plain(inner.object)}.".startswith(f"{_plain(outer.object)}."):
            yield (*at, "object"), f"lies in {outer.object}, which {document.where(place)} classifies: change it there"
            return


def _plain(name: str) -> str:
    return name.replace('"', "")


def _unfree(entry: object, at: Place, free: frozenset[str]) -> Iterator[tuple[Place, str]]:
    for setting, value in entry.items() if isinstance(entry, dict) else ():
        if setting not in free:
            yield (*at, setting), "can be set in the configuration file only: it names something of the gateway's host"
        elif setting == "ca" and not (isinstance(value, str) and value.startswith(PEM)):
            yield (
                (*at, setting),
                "a file of the gateway's host can't be named through the API: give the PEM text itself",
            )
        elif setting not in _OPEN:
            yield from _unfree(value, (*at, setting), free)


def _references(file: File, index: int, at: Place) -> Iterator[tuple[Place, str]]:
    target = file.targets[index]
    credential = target.credential
    if isinstance(credential, Static):
        place, secret = (*at, "credential", "password"), credential.password
    else:
        place, secret = (*at, "credential", "admin", "password"), credential.admin.password
    if secret is not None and not any(
        SecretPlace(env=each.env, file=each.file) == secret and target.address in each.addresses
        for each in file.server.allow_references
    ):
        yield place, _NOT_ALLOWED
