"""From YAML text to plain data, with the line that each value stands on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from ostiary.resources import Key, title

#: Bytes. No configuration comes near it; a wrong path (a disk, a log) must not be read into memory.
MAX_FILE: Final = 4 << 20
#: Values, those behind aliases counted each time: ten lines of aliases can stand for billions.
MAX_VALUES: Final = 100_000
_MAX_DEPTH: Final = 32

Place = tuple[str | int, ...]


class ConfigError(ValueError):
    """The file can't be used. `problems` are sentences, each with file and line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Document:
    """A file as it was read."""

    path: Path
    data: object
    #: Line of each setting, counted from 1; of a mapping's entry, the line of its key.
    lines: Mapping[Place, int]
    #: Entries that stand in no file: place → what is stored.
    stored: Mapping[Place, Key] = field(default_factory=dict)

    def known(self, place: Place) -> Place:
        """The deepest part of the place that stands in the file."""
        found: Place = ()
        for step in place:
            if (*found, step) in self.lines:
                found = (*found, step)
        return found

    def name(self, place: Place) -> str:
        """Dotted; in a stored resource, from its own beginning."""
        return ".".join(map(str, place[2:] if place[:2] in self.stored else place))

    def where(self, place: Place) -> str:
        """`FILE:LINE`, or the stored resource."""
        if place[:2] in self.stored:
            return title(self.stored[place[:2]])
        return f"{self.path}:{self.lines.get(self.known(place), 1)}"


def read(path: Path) -> Document:
    """Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
        if len(raw) > MAX_FILE:
            raise ConfigError([f"{path}: larger than {MAX_FILE} bytes; this is no configuration"])
        text = raw.decode("utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8 text"]) from None
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> Document:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Place, int] = {}
        problems: list[str] = []
        for place, line, double in _walk(root, ()):
            if double:
                problems.append(f'{path}:{line}: "{place[-1]}" stands here twice; one of them would be ignored')
            lines[place] = line
            if len(lines) > MAX_VALUES:
                raise ConfigError([f"{path}:{line}: more than {MAX_VALUES} values, aliases counted each time"])
        if problems:
            raise ConfigError(problems)
        return Document(path, yaml.safe_load(text), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError([f"{path}:{line}: not YAML: {error.problem}"]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([f"{path}:{line}: not YAML: a control character"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deep for a configuration"]) from None
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError):
        raise ConfigError([f"{path}: holds a date or number that is none; put it in quotes if it is text"]) from None


def _walk(node: yaml.Node | None, at: Place) -> Iterator[tuple[Place, int, bool]]:
    """Place, line, and whether its key was there before."""
    if node is None:
        return
    if len(at) > _MAX_DEPTH:
        raise RecursionError
    if not at:
        yield at, node.start_mark.line + 1, False
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            yield (*at, name), key.start_mark.line + 1, name in seen
            seen.add(name)
            yield from _walk(value, (*at, name))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*at, index), value.start_mark.line + 1, False
            yield from _walk(value, (*at, index))
