"""`ostiary admin link`: a way in for the local administrator, for whoever works on the gateway's host."""

import typer

from ostiary.cli.common import ConfigOption, Context, errors, run
from ostiary.cli.operator import this_user
from ostiary.cli.output import Output, OutputOption, err, say, structured


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def options() -> None:
        """The local administrator."""

    @group.command()
    def link(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
        """Print a one-time link to set the local administrator up; it replaces the password and passkeys there are."""
        with errors():
            made = run(context.operations(config).local_admin.renew(this_user()))
        if output is not Output.TABLE:
            structured({"link": made.reveal_text()}, output)
            return
        say("open this link within an hour; it works once, and what is set up there replaces what there was", to=err)
        typer.echo(made.reveal_text())

    return group
