"""`ostiary targets list`."""

import typer

from ostiary.cli.common import ConfigOption, Context
from ostiary.cli.output import Output, OutputOption, structured, table


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def about() -> None:
        """What can be reached."""

    @group.command("list")
    def list_targets(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
        """Declared targets."""
        found = context.operations(config).list_targets()
        if output is not Output.TABLE:
            structured(found, output)
            return
        rows = [(t.name, t.protocol, t.address, t.database, t.tls, t.credential) for t in found]
        table(
            ("NAME", "PROTOCOL", "ADDRESS", "DATABASE", "TLS", "CREDENTIAL"),
            rows,
            "no target is declared",
            dropped=("PROTOCOL",),
        )

    return group
