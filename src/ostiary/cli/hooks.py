"""What the command line is handed by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ostiary.control import Operations
    from ostiary.resources import Declared, Key


class Pieces(Protocol):
    """Declarations that were read from files."""

    @property
    def declared(self) -> "Mapping[Key, Declared]":
        """Each with its place."""
        ...

    @property
    def notes(self) -> "Sequence[str]":
        """What was left out, and why."""
        ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """What only the composition root can do."""

    #: Use-cases on the gateway of a configuration file. Raises ValueError with readable problems.
    operations: "Callable[[Path], Operations]"
    #: Problems of a configuration file and everything it points at; empty when there are none.
    check: Callable[[Path], list[str]]
    #: Serve until told to stop: the file, how many workers, and which of them this is (0: none of them).
    serve: Callable[[Path, int, int], None]
    #: Write a commented starter configuration; returns the files made.
    init: Callable[[Path], list[Path]]
    #: The tour; returns an exit code.
    demo: Callable[[bool, bool], int]
    #: JSON Schema of the configuration.
    schema: Callable[[], dict[str, Any]]
    #: What is declared in a file or a directory, to be applied. Raises ValueError with readable problems.
    pieces: "Callable[[Path], Pieces]"
    version: str
