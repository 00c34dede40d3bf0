"""`ostiary masking reveal`: what tokens stand for, from a running gateway."""

from typing import Annotated

import typer

from ostiary.cli.common import Context, errors
from ostiary.cli.output import Output, OutputOption, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.client.api import part


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def masking() -> None:
        """Of one command, it is a group all the same."""

    @group.command()
    @reaching(context, local=False)
    def reveal(
        target: Annotated[str, typer.Argument(help="Where the tokens come from.")],
        data_class: Annotated[str, typer.Argument(metavar="CLASS", help="The class of data whose tokens they are.")],
        tokens: Annotated[list[str], typer.Argument(metavar="TOKEN…", help="As results show them.")],
        reach: Reach,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """The values that tokens stand for."""
        with errors():
            found = reach.api.post(f"/masking/{part(data_class)}/reveal", {"target": target, "tokens": tokens})
        values = found.get("values")
        rows = list(zip(tokens, values if isinstance(values, list) else (), strict=True))
        if output is not Output.TABLE:
            structured([{"token": token, "value": value} for token, value in rows], output)
            return
        table(("TOKEN", "VALUE"), rows, "", folded=("TOKEN", "VALUE"))

    return group
