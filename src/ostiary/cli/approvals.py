"""`ostiary approvals list|show|approve|deny`."""

from collections.abc import Callable
from typing import Annotated

import typer

from ostiary.approvals import Approval
from ostiary.cli.common import ConfigOption, Context, TokenFileOption, errors, read_token, run
from ostiary.cli.output import Output, OutputOption, moment, say, structured, table
from ostiary.core import printable_lines

CodeArgument = Annotated[str, typer.Argument(help="The request's code, as the notice shows it.")]


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.command("list")
    def list_approvals(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
        """Requests that wait for somebody."""
        with errors():
            found = run(context.operations(config).list_approvals())
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
    def show(code: CodeArgument, config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
        """Exactly what would run, for whom, and how much it would touch."""
        with errors():
            found = run(context.operations(config).show_approval(code))
        if output is not Output.TABLE:
            structured(found, output)
            return
        _show(found)

    group.command("approve", help="Let this one command run, once.")(_deciding(context, approve=True))
    group.command("deny", help="Refuse it; the client sees the reason.")(_deciding(context, approve=False))
    return group


def _deciding(context: Context, *, approve: bool) -> Callable[..., None]:
    def decide(
        code: CodeArgument,
        config: ConfigOption = None,
        token_file: TokenFileOption = None,
        reason: Annotated[str, typer.Option(help="A line for the record; who is denied sees it.")] = "",
        output: OutputOption = Output.TABLE,
    ) -> None:
        token = read_token(token_file)
        with errors():
            after = run(context.operations(config).decide(code, token, approve=approve, reason=reason))
        if output is not Output.TABLE:
            structured(after, output)
        elif after.missing and approve:
            say(f"request {after.request.code}: counted; it still needs {', '.join(map(str, after.missing))}")
        else:
            say(f"request {after.request.code}: {after.state.value}")

    return decide


def _show(found: Approval) -> None:
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
