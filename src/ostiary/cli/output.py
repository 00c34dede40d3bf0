"""How things are shown: tables for people, JSON and YAML for programs. Recorded text is hostile: `printable` first."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NoReturn

import msgspec
import typer
import yaml
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ostiary.core import printable

#: Columns of a table that goes into a pipe or a file: lines are kept whole for `grep` and `awk`.
_PIPE_WIDTH = 1000
#: A column that takes several lines is not made narrower than this to keep another one.
_FOLDED_WIDTH = 20


def _console(*, stderr: bool = False) -> Console:
    """Recorded text is shown as it is: `:key:` is no emoji, numbers are not coloured."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(stderr=stderr, emoji=False, highlight=False, width=width)


out = _console()
err = _console(stderr=True)


class Exit(IntEnum):
    """Exit codes, documented in docs/cli.md."""

    OK = 0
    #: It could not be done: a file, the store, the network.
    FAILED = 1
    #: The command line, the configuration or the policies are wrong.
    USAGE = 2
    #: Refused: a token, an approval, a policy.
    REFUSED = 3
    #: No such session, request or target.
    NOT_FOUND = 4
    #: `audit verify` found a recording that is not what the gateway wrote.
    TAMPERED = 5
    #: `apply --dry-run` found something to change.
    DIFFERS = 6


class Output(StrEnum):
    """`-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to show it.")]


def fail(message: str, hint: str = "", code: int = Exit.FAILED) -> NoReturn:
    """Say what went wrong and what to do next, and end."""
    say(("error:", "red"), f" {message}", to=err)
    if hint:
        say(("next:", "dim"), f"  {hint}", to=err)
    raise typer.Exit(code)


def say(*parts: str | tuple[str, str], to: Console | None = None) -> None:
    """One line, to standard output unless told; a part may come with a style. Texts are shown, never interpreted.

    Rich's own markup is not used for this: no way of escaping it gives every text back as it was.
    """
    line = Text()
    for part in parts:
        shown, style = part if isinstance(part, tuple) else (part, "")
        line.append(printable(shown), style)
    (to or out).print(line, soft_wrap=True)


def structured(data: object, output: Output) -> None:
    """JSON or YAML of dataclasses, enums and paths."""
    plain = msgspec.to_builtins(data, enc_hook=str)
    if output is Output.JSON:
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=True))
    else:
        typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False), nl=False)


def line(data: object, output: Output) -> None:
    """One thing of many that come one by one: a line of JSON, or a document of YAML, at once."""
    plain = msgspec.to_builtins(data, enc_hook=str)
    if output is Output.YAML:
        typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=False, explicit_start=True), nl=False)
    else:
        typer.echo(json.dumps(plain, ensure_ascii=True))
    sys.stdout.flush()


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    empty: str,
    folded: Sequence[str] = (),
    dropped: Sequence[str] = (),
) -> None:
    """A table; `empty` is said when there is nothing in it.

    On a narrow terminal columns with nothing in them go, then the `dropped` ones, the first first; what is left of the
    `folded` ones takes several lines.
    """
    cells = [[printable(text(cell)) for cell in row] for row in rows]
    if not cells:
        err.print(empty)
        return
    widths = {name: max(cell_len(name), *(cell_len(row[at]) for row in cells)) for at, name in enumerate(headings)}
    hollow = [name for at, name in enumerate(headings) if not any(row[at] for row in cells)]
    going = [*hollow, *(name for name in dropped if name not in hollow)]
    while going and _least(widths, folded) > out.width:
        del widths[going.pop(0)]
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in widths:
        shown.add_column(name, overflow="fold", no_wrap=name not in folded)
    for row in cells:
        shown.add_row(*(Text(cell) for name, cell in zip(headings, row, strict=True) if name in widths))
    out.print(shown)


def _least(widths: Mapping[str, int], folded: Sequence[str]) -> int:
    """Characters a line that a table can still be read in."""
    return sum(min(width, _FOLDED_WIDTH) if name in folded else width for name, width in widths.items()) + (
        2 * len(widths)
    )


def text(cell: Any) -> str:
    """One cell."""
    if cell is None:
        return ""
    return ", ".join(map(str, cell)) if isinstance(cell, (tuple, list)) else str(cell)


def moment(at: float | None) -> str:
    """Unix seconds as UTC."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
