"""`ostiary serve`, `check`, `init`, `demo`, `schema`: what makes and runs a gateway."""

from pathlib import Path
from typing import Annotated

import typer

from ostiary.cli.common import ConfigOption, Context, errors, verdict, wrong
from ostiary.cli.output import Output, OutputOption, err, fail, say, structured


def build(context: Context) -> typer.Typer:
    """The commands, which belong to no group."""
    app = typer.Typer()
    hooks = context.hooks

    @app.command()
    def serve(
        config: ConfigOption = None,
        workers: Annotated[
            int,
            typer.Option(
                "--workers",
                min=1,
                max=64,
                help="Processes that serve sessions, about one a core; with more than 1 another one serves the API.",
            ),
        ] = 1,
        worker: Annotated[int, typer.Option("--worker", min=0, max=64, hidden=True)] = 0,
    ) -> None:
        """Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."""
        path = context.path(config)
        # Whoever begins a worker has looked.
        problems = [] if worker else hooks.check(path)
        if problems:
            wrong(problems, f"{path} can't be used")
        with errors():
            hooks.serve(path, workers, worker)

    @app.command()
    def check(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
        """Validate the configuration and everything it points at."""
        path = context.path(config)
        verdict(hooks.check(path), f"{path}: fine", f"{path} can't be used", output)

    @app.command()
    def init(
        directory: Annotated[Path, typer.Argument(help="Where to write it.")], output: OutputOption = Output.TABLE
    ) -> None:
        """Write a commented starter configuration."""
        try:
            made = hooks.init(directory)
        except OSError as error:
            fail(f"{error.filename or directory}: {error.strerror}", "nothing was written; choose another directory")
        if output is not Output.TABLE:
            structured(made, output)
            return
        for path in made:
            say(f"made {path}")
        say(("next:", "dim"), f"  edit {made[0]}, then `ostiary check -c {made[0]}`", to=err)

    @app.command()
    def demo(
        once: Annotated[bool, typer.Option("--once", help="Stop after the tour.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print what was observed, step by step.")] = False,
    ) -> None:
        """Start everything on loopback with embedded parts, and show the main job."""
        try:
            code = hooks.demo(once, as_json)
        except RuntimeError as error:
            fail(str(error), "pip install 'ostiary[demo]'; in a checkout: make demo")
        raise typer.Exit(code)

    @app.command()
    def schema(output: OutputOption = Output.JSON) -> None:
        """Print the JSON Schema of the configuration file."""
        structured(hooks.schema(), Output.JSON if output is Output.TABLE else output)

    return app
