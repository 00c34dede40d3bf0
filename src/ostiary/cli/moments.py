"""Moments of a session, for people: on a terminal, in a file, in a cast."""

from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ostiary.cli.output import out, say
from ostiary.core import printable, printable_lines
from ostiary.recording import Moment, MomentKind

_STYLE: Final = {
    MomentKind.REFUSED: "red",
    MomentKind.HELD: "yellow",
    MomentKind.DAMAGE: "bold red",
    MomentKind.STATEMENT: "bold",
    MomentKind.DIAGNOSTIC: "magenta",
}


def _cell(value: str | None) -> Text:
    return Text("NULL", "dim") if value is None else Text(printable(value))


def show_moment(each: Moment, to: Console | None = None) -> None:
    """One of them, in as many lines as it takes; to standard output unless told."""
    lines = printable_lines(each.text) or ("",)
    say((f"{each.offset:9.3f}s", "dim"), f" {each.kind.value:10} ", (lines[0], _STYLE.get(each.kind, "")), to=to)
    for line in lines[1:]:
        say(" " * 22, (line, _STYLE.get(each.kind, "")), to=to)
    for note in each.notes:
        say(" " * 22, (note, "dim"), to=to)
    if each.columns:
        _show_rows(
            [Text(printable(name)) for name in each.columns], [list(map(_cell, row)) for row in each.rows], to or out
        )


def _show_rows(columns: list[Text], rows: list[list[Text]], to: Console) -> None:
    if sum(max(cell.cell_len for cell in column) + 2 for column in zip(columns, *rows, strict=True)) <= to.width:
        shown = Table(*(Column(name, overflow="fold") for name in columns), box=None, header_style="dim")
        for row in rows:
            shown.add_row(*row)
        to.print(shown)
        return
    # Wider than the terminal: a line a column, as psql does with `\x auto`.
    for number, row in enumerate(rows, 1):
        say((f" -[ row {number} ]-", "dim"), to=to)
        for name, cell in zip(columns, row, strict=True):
            to.print(Text.assemble(" ", (name.plain, "dim"), "  ", cell), soft_wrap=True)
