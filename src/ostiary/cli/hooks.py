"""What the command line is handed by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostiary.control import Operations


@dataclass(frozen=True, slots=True)
class Hooks:
    """What only the composition root can do."""

    #: Use-cases on the gateway of a configuration file. Raises ValueError with readable problems.
    operations: "Callable[[Path], Operations]"
    #: Problems of a configuration file and everything it points at; empty when there are none.
    check: Callable[[Path], list[str]]
    #: Serve until told to stop.
    serve: Callable[[Path], None]
    #: Write a commented starter configuration; returns the files made.
    init: Callable[[Path], list[Path]]
    #: The tour; returns an exit code.
    demo: Callable[[bool, bool], int]
    #: JSON Schema of the configuration.
    schema: Callable[[], dict[str, Any]]
    version: str
