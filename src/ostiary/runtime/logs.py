"""The log: JSON lines on standard error. Tracebacks name places, never the values of variables."""

import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog

from ostiary.core.printable import printable

#: Characters of a text, entries of a list or mapping, and how deep they nest.
MAX_TEXT: Final = 2000
MAX_ITEMS: Final = 64
MAX_DEPTH: Final = 8


class Level(StrEnum):
    """What is told: this, and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(StrEnum):
    """For machines, for people."""

    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Logging:
    """How the process tells what it does."""

    level: Level = Level.INFO
    format: Format = Format.JSON


def configure(wanted: Logging = Logging()) -> None:
    """Set the process up. Secrets have no way into it: their repr hides them, and no frame's locals are printed."""
    rendering: tuple[Any, ...] = (
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        bounded,
        structlog.processors.JSONRenderer(),
    )
    if wanted.format is Format.CONSOLE:
        rendering = (structlog.processors.format_exc_info, bounded, structlog.dev.ConsoleRenderer(colors=False))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(wanted.level.value),
        # One write a line: workers share this file, and a line that is written in two parts may be parted by another's.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def bounded(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: every text is one harmless line of a bounded length, everything else is bounded too."""
    return {_text(name): _value(value, name) for name, value in event.items()}


def _value(value: object, name: str = "", depth: int = 0) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case _ if depth == MAX_DEPTH:
            return "…"
        case dict():
            items = list(value.items())[:MAX_ITEMS]
            return {_text(str(key)): _value(each, depth=depth + 1) for key, each in items}
        case list() | tuple():
            return [_value(each, depth=depth + 1) for each in value[:MAX_ITEMS]]
        case str() if name == "exception":
            # A traceback of the console's: many lines of our own.
            return "\n".join(_text(line) for line in value.split("\n")[:MAX_TEXT])
        case str():
            return _text(value)
        case _:
            return _text(repr(value))


def _text(text: str) -> str:
    return printable(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)")
