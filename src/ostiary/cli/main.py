"""`ostiary …`: the commands that belong to no group, and the groups put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ostiary.cli import approvals, audit, client, policy, service_accounts, sessions
from ostiary.cli.common import ConfigOption, Context, errors, verdict, wrong
from ostiary.cli.output import Output, OutputOption, err, fail, say, structured, table
from ostiary.control import Operations


@dataclass(frozen=True, slots=True)
class Hooks:
    """What only the composition root can do."""

    #: Use-cases on the gateway of a configuration file. Raises ValueError with readable problems.
    operations: Callable[[Path], Operations]
    #: Problems of a configuration file and everything it points at; empty when there are none.
    check: Callable[[Path], list[str]]
    #: Serve until told to stop.
    serve: Callable[[Path], None]
    #: Write a commented starter configuration; returns the files made.
    init: Callable[[Path], list[Path]]
    #: The tour; returns an exit code.
    demo: Callable[[bool, bool], int]
    #: JSON Schema of the configuration.
    schema: Callable[[], dict[str, Any]]
    version: str


def build(hooks: Hooks) -> typer.Typer:
    """The application."""
    app = typer.Typer(
        name="ostiary",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        help="An identity-aware gateway: programs reach databases with their own token and never hold a password.",
    )
    shows_version = typer.Option(
        "--version", callback=_version(hooks.version), is_eager=True, help="Print the version."
    )

    @app.callback()
    def options(version: Annotated[bool, shows_version] = False) -> None:
        del version

    context = Context(hooks.operations)
    app.add_typer(sessions.build(context), name="sessions", help="What was recorded: list, show, replay.")
    app.add_typer(approvals.build(context), name="approvals", help="Held commands: list, show, approve, deny.")
    app.add_typer(policy.build(context), name="policy", help="Policies: check, explain.")
    app.add_typer(audit.build(context), name="audit", help="Is the log whole?")
    app.add_typer(
        service_accounts.build(context),
        name="service-accounts",
        help="Identities for programs that have no issuer: create, list, disable, rotate, …",
    )
    targets = typer.Typer(no_args_is_help=True)
    app.add_typer(targets, name="targets", help="What can be reached.")

    @targets.command("list")
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

    client.add(app)

    @app.command()
    def serve(config: ConfigOption = None) -> None:
        """Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."""
        path = context.path(config)
        problems = hooks.check(path)
        if problems:
            wrong(problems, f"{path} can't be used")
        with errors():
            hooks.serve(path)

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


def _version(version: str) -> Callable[[bool], None]:
    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(version)
            raise typer.Exit

    return show
