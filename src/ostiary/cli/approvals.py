"""`ostiary approvals list|show|approve|deny|watch`."""

from collections.abc import Callable
from typing import Annotated

import typer

from ostiary.approvals import Approval
from ostiary.cli import complete, watch
from ostiary.cli.common import Context, run
from ostiary.cli.output import Output, OutputOption, moment, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import approvals as remote
from ostiary.core import printable_lines

CodeArgument = Annotated[
    str, typer.Argument(autocompletion=complete.approvals, help="The request's code, as the notice shows it.")
]


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.command("list")
    @reaching(context)
    def list_approvals(reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Requests that wait for somebody."""
        found = reach.pick(lambda it: run(it.list_approvals()), remote.list_approvals)
        if output is not Output.TABLE:
            structured(found, output)
            return
        rows = [
            (
                a.request.code,
                a.request.principal,
                a.request.target,
                a.request.summary,
                "" if a.request.rows_estimate is None else f"~{a.request.rows_estimate:,}",
                ", ".join(map(str, a.missing)),
                moment(a.request.expires_at),
            )
            for a in found
        ]
        headings = ("REQUEST", "ASKED BY", "TARGET", "WHAT", "ROWS", "NEEDS", "EXPIRES (UTC)")
        table(headings, rows, "nothing waits for approval", folded=("ASKED BY", "WHAT"), dropped=("TARGET", "ROWS"))

    @group.command()
    @reaching(context)
    def show(code: CodeArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Exactly what would run, for whom, and how much it would touch."""
        found = reach.pick(lambda it: run(it.show_approval(code)), lambda api: remote.show_approval(api, code))
        if output is not Output.TABLE:
            structured(found, output)
            return
        show_request(found)

    group.command("approve", help="Let this one command run, once.")(_deciding(context, approve=True))
    group.command("deny", help="Refuse it; the client sees the reason.")(_deciding(context, approve=False))
    group.command()(watch.build(context))
    return group


def _deciding(context: Context, *, approve: bool) -> Callable[..., None]:
    @reaching(context)
    def decide(
        code: CodeArgument,
        reach: Reach,
        reason: Annotated[str, typer.Option(help="A line for the record; who is denied sees it.")] = "",
        output: OutputOption = Output.TABLE,
    ) -> None:
        token = reach.token()
        after = reach.pick(
            lambda it: run(it.decide(code, token, approve=approve, reason=reason)),
            lambda api: remote.decide(api, code, approve=approve, reason=reason),
        )
        if output is not Output.TABLE:
            structured(after, output)
        elif after.missing and approve:
            say(f"request {after.request.code}: counted; it still needs {', '.join(map(str, after.missing))}")
        else:
            say(f"request {after.request.code}: {after.state.value}")

    return decide


def show_request(found: Approval) -> None:
    """One request, for people."""
    request = found.request
    estimate = "not known" if request.rows_estimate is None else f"about {request.rows_estimate:,}"
    facts = {
        "request": f"{request.code}  {found.state.value}",
        "asked by": f"{request.principal} ({request.principal_kind})",
        "groups": ", ".join(request.principal_groups),
        "target": request.target,
        "what": request.summary,
        "rows": estimate,
        "objects": ", ".join(request.accesses),
        "held by": f"{', '.join(request.rules)}{': ' + request.reason if request.reason else ''}",
        "needs": ", ".join(map(str, found.missing)) or "nothing more",
        "approved": ", ".join(found.approvers),
        "expires": f"{moment(request.expires_at)} UTC",
    }
    for name, value in facts.items():
        if value:
            say(f"  {name:9} {value}")
    say("  statement")
    for line in printable_lines(request.text):
        say("    ", (line, "bold"))
    for number, parameter in enumerate(request.parameters, 1):
        say(f"    ${number} = {'NULL' if parameter is None else parameter}")
