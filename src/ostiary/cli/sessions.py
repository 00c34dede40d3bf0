"""`ostiary sessions list|show|replay|tail|export|kill`."""

import time
from typing import Annotated

import typer

from ostiary.cli import complete, export, kill, tail
from ostiary.cli.common import Context, errors
from ostiary.cli.moments import show_moment
from ostiary.cli.output import Output, OutputOption, moment, say, structured, table, text
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import sessions as remote
from ostiary.recording import SessionFilter

SessionArgument = Annotated[
    str, typer.Argument(autocompletion=complete.sessions, help="Session id; with -c the beginning of one will do.")
]
#: Longest pause of a replay, in seconds of the watcher.
_LONGEST_PAUSE = 2.0


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
                show_moment(each)

    for each in (tail, export, kill):
        group.command()(each.build(context))
    return group
