"""`ostiary leases list|revoke`: credentials that a running gateway has lent."""

from typing import Annotated

import typer

from ostiary.cli.common import Context, errors
from ostiary.cli.output import Output, OutputOption, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.client.api import part


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.command("list")
    @reaching(context, local=False)
    def list_leases(reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Credentials that are out now."""
        with errors():
            found = list(reach.api.pages("/leases"))
        if output is not Output.TABLE:
            structured(found, output)
            return
        names = ("lease_id", "session_id", "target", "kind", "username", "state", "expires")
        rows = [[each.get(name) for name in names] for each in found]
        headings = ("LEASE", "SESSION", "TARGET", "KIND", "ACCOUNT", "STATE", "EXPIRES")
        table(
            headings, rows, "no credential is out", folded=("ACCOUNT",), dropped=("EXPIRES", "KIND", "STATE", "ACCOUNT")
        )

    @group.command()
    @reaching(context, local=False)
    def revoke(
        lease: Annotated[str, typer.Argument(help="The lease's id.")],
        reason: Annotated[str, typer.Option(help="A line that the session's client reads, and for the record.")],
        reach: Reach,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """End the session that holds it, and take the credential back."""
        with errors():
            done = reach.api.post(f"/leases/{part(lease)}/revoke", {"reason": reason})
        if output is not Output.TABLE:
            structured(done, output)
            return
        session = f"session {done.get('session_id')} has ended; " if done.get("ended") else ""
        said = "is gone" if done.get("gone") else "is not confirmed to be gone: the target is asked until it is"
        say(f"{session}lease {lease} {said}")

    return group
