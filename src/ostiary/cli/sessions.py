"""`ostiary sessions list|show|replay|kill`."""

import time
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from ostiary.cli import kill
from ostiary.cli.common import Context, errors
from ostiary.cli.output import Output, OutputOption, moment, out, say, structured, table, text
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import sessions as remote
from ostiary.core import printable, printable_lines
from ostiary.recording import Moment, MomentKind, SessionFilter

SessionArgument = Annotated[str, typer.Argument(help="Session id; with -c the beginning of one will do.")]
#: Longest pause of a replay, in seconds of the watcher.
_LONGEST_PAUSE = 2.0
_STYLE = {
    MomentKind.REFUSED: "red",
    MomentKind.HELD: "yellow",
    MomentKind.DAMAGE: "bold red",
    MomentKind.STATEMENT: "bold",
    MomentKind.DIAGNOSTIC: "magenta",
}


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.command("list")
    @reaching(context)
    def list_sessions(
        reach: Reach,
        limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
        target: Annotated[str, typer.Option(help="Only this target.")] = "",
        principal: Annotated[str, typer.Option(help="Only this principal, issuer:subject.")] = "",
        refused: Annotated[
            bool, typer.Option("--refused", help="Only sessions in which something was refused.")
        ] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Recorded sessions, newest first."""
        wanted = SessionFilter(principal=principal, target=target, refused=refused)
        found = reach.pick(
            lambda it: it.list_sessions(limit, wanted), lambda api: remote.list_sessions(api, limit, wanted)
        )
        if output is not Output.TABLE:
            structured(found, output)
            return
        rows = [
            (s.session_id, s.state.value, moment(s.started), s.principal, s.target, s.actions, s.refused, s.reason)
            for s in found
        ]
        headings = ("SESSION", "STATE", "STARTED (UTC)", "PRINCIPAL", "TARGET", "COMMANDS", "REFUSED", "END")
        dropped = ("END", "COMMANDS", "TARGET", "STATE", "REFUSED")
        table(headings, rows, "no session was recorded", folded=("PRINCIPAL", "END"), dropped=dropped)

    @group.command()
    @reaching(context)
    def show(session: SessionArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """One session: who, what, how it was ruled, how it ended."""
        detail = reach.pick(lambda it: it.show_session(session), lambda api: remote.show_session(api, session))
        if output is not Output.TABLE:
            structured(detail, output)
            return
        summary = detail.summary
        say((summary.session_id, "bold"), f"  {summary.state.value}")
        facts = {
            "principal": summary.principal,
            "groups": text(detail.started.groups) if detail.started else "",
            "target": summary.target,
            "from": summary.source,
            "started": moment(summary.started),
            "ended": moment(summary.ended),
            "credential": f"{detail.lease.kind}: {detail.lease.username}" if detail.lease else "none",
            "given back": detail.ended.credential if detail.ended else "",
            "reason": summary.reason,
        }
        for name, value in facts.items():
            say(f"  {name:11} {value}")
        rows = [
            (a.action_id, a.verdict, a.status, a.outcome, a.rows, a.summary, a.rules, a.approved_by, list(a.masked))
            for a in detail.actions
        ]
        headings = ("#", "RULING", "STATUS", "OUTCOME", "ROWS", "WHAT", "RULES", "APPROVED BY", "MASKED")
        folded = ("OUTCOME", "WHAT", "RULES", "APPROVED BY", "MASKED")
        table(headings, rows, "no command", folded=folded, dropped=("MASKED", "STATUS", "ROWS"))
        if detail.more:
            say(f"… and {detail.more} more; `replay` shows all")
        if detail.damage:
            say(("damaged:", "bold red"), f" {detail.damage}")

    @group.command()
    @reaching(context)
    def replay(
        session: SessionArgument,
        reach: Reach,
        speed: Annotated[float, typer.Option(min=0, help="Times real speed; 0 shows it at once.")] = 0,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """What happened, in order, with results as the client saw them."""
        with errors():
            moments = reach.pick(lambda it: it.replay_session(session), lambda api: remote.replay(api, session))
            if output is not Output.TABLE:
                structured(list(moments), output)
                return
            before = 0.0
            for each in moments:
                if speed > 0:
                    time.sleep(min((each.offset - before) / speed, _LONGEST_PAUSE))
                before = each.offset
                _show(each)

    group.command()(kill.build(context))
    return group


def _cell(value: str | None) -> Text:
    return Text("NULL", "dim") if value is None else Text(printable(value))


def _show(each: Moment) -> None:
    lines = printable_lines(each.text) or ("",)
    say((f"{each.offset:9.3f}s", "dim"), f" {each.kind.value:10} ", (lines[0], _STYLE.get(each.kind, "")))
    for line in lines[1:]:
        say(" " * 22, (line, _STYLE.get(each.kind, "")))
    for note in each.notes:
        say(" " * 22, (note, "dim"))
    if each.columns:
        _show_rows([Text(printable(name)) for name in each.columns], [list(map(_cell, row)) for row in each.rows])


def _show_rows(columns: list[Text], rows: list[list[Text]]) -> None:
    if sum(max(cell.cell_len for cell in column) + 2 for column in zip(columns, *rows, strict=True)) <= out.width:
        shown = Table(*(Column(name, overflow="fold") for name in columns), box=None, header_style="dim")
        for row in rows:
            shown.add_row(*row)
        out.print(shown)
        return
    # Wider than the terminal: a line a column, as psql does with `\x auto`.
    for number, row in enumerate(rows, 1):
        say((f" -[ row {number} ]-", "dim"))
        for name, cell in zip(columns, row, strict=True):
            out.print(Text.assemble(" ", (name.plain, "dim"), "  ", cell), soft_wrap=True)
