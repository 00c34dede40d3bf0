"""What is to be applied through the API, read from files: whole configurations, or pieces of one."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ostiary.config.document import ConfigError, Document, read
from ostiary.config.stored import LISTS, MAPPINGS, declared
from ostiary.policy import PolicyError, rules_of
from ostiary.resources import Declared, Key, ResourceKind, encoded, title

MAX_FILES: Final = 256
_POLICIES: Final = "policies"
#: Sections that stay what they are in the gateway's own file.
_OWN: Final = ("server", "detectors")


@dataclass(slots=True)
class Pieces:
    """Declarations with their places, and what was left out."""

    declared: dict[Key, Declared] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, found: Mapping[Key, Declared]) -> None:
        """More of them."""
        for key, each in found.items():
            first = self.declared.setdefault(key, each)
            if first is not each:
                self.problems.append(f"{each.place}: {title(key)} is declared at {first.place} too")
            try:
                encoded(each.document)
            except ValueError as error:
                self.problems.append(f"{each.place}: {title(key)}: {error}; put dates in quotes")


def pieces(path: Path) -> Pieces:
    """Read a file, or the *.yaml and *.yml of a directory, and the policies they name. Raises ConfigError.

    Where no file of a directory names any, its `policies` directory is taken if it is there.
    """
    found = Pieces()
    named = False
    for file in _files(path):
        document = read(file)
        found.problems += _misshapen(document)
        found.add(declared(document))
        data = document.data if isinstance(document.data, dict) else {}
        found.notes += [
            f"{document.where((name,))}: {name} is the gateway's own and left out" for name in _OWN if name in data
        ]
        where = data.get(_POLICIES)
        if isinstance(where, str):
            named = True
            _add_rules(found, file.parent / where)
    beside = path / _POLICIES
    if not named and beside.is_dir():
        _add_rules(found, beside)
    if found.problems:
        raise ConfigError(found.problems)
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml") and each.name[0] != ".")
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    if len(files) > MAX_FILES:
        raise ConfigError([f"{path}: more than {MAX_FILES} files"])
    if not files and not (path / _POLICIES).is_dir():
        raise ConfigError([f"{path}: no *.yaml file in it, and no {_POLICIES} directory: is it the right one?"])
    return files


def _misshapen(document: Document) -> Iterator[str]:
    if document.data is None:
        return
    if not isinstance(document.data, dict):
        yield f"{document.where(())}: must be a mapping of sections"
        return
    lists: Mapping[str, tuple[str, ...]] = dict(LISTS.values())
    known = (*lists, *MAPPINGS.values(), *_OWN, _POLICIES)
    for name, held in document.data.items():
        at = document.where((name,))
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            yield f"{at}: {name}: no such section; " + (
                f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(known))}"
            )
        elif name in lists:
            yield from _unnamed(document, name, lists[name], held)
        elif name in MAPPINGS.values():
            yield from _unmapped(document, name, held)
        elif name == _POLICIES and not isinstance(held, str):
            yield f"{at}: {name}: must be the path of a directory"


def _unnamed(document: Document, section: str, names: tuple[str, ...], held: object) -> Iterator[str]:
    if not isinstance(held, list):
        yield f"{document.where((section,))}: {section}: must be a list"
        return
    seen: set[tuple[Any, ...]] = set()
    for index, entry in enumerate(held):
        own = tuple(entry.get(name) if isinstance(entry, dict) else None for name in names)
        if not all(isinstance(each, str) for each in own):
            yield f"{document.where((section, index))}: {section}.{index}: needs {' and '.join(names)}, as text"
        elif own in seen:
            yield f"{document.where((section, index))}: another of the {section} has the same {' and '.join(names)}"
        seen.add(own)


def _unmapped(document: Document, section: str, held: object) -> Iterator[str]:
    if not isinstance(held, dict):
        yield f"{document.where((section,))}: {section}: must be a mapping"
        return
    for name, entry in held.items():
        if not isinstance(name, str) or not isinstance(entry, dict):
            yield f"{document.where((section, name))}: {section}.{name}: must be a mapping under a name"


def _add_rules(found: Pieces, path: Path) -> None:
    try:
        rules = rules_of(path)
    except PolicyError as error:
        found.problems += map(str, error.problems)
        return
    for rule in rules:
        if "id" in rule.annotations:
            found.add({Key(ResourceKind.POLICY, rule.name): Declared(f"{rule.file}:{rule.line}", {"text": rule.text})})
        else:
            found.problems.append(f"{rule.file}:{rule.line}: a rule is known by its @id, and this one has none")
