"""`ostiary …`: the program's own group. Its commands are in modules that are imported when one is called."""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from ostiary.cli.hooks import Hooks
from ostiary.cli.lazy import ENTRIES, Command, LazyGroup


def build(hooks: Hooks) -> typer.Typer:
    """The application."""

    class Group(LazyGroup):
        @staticmethod
        def load(name: str) -> Command:
            return _load(hooks, name)

    app = typer.Typer(
        name="ostiary",
        cls=Group,
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

    return app


def _load(hooks: Hooks, name: str) -> Command:
    entry = ENTRIES[name]
    module = import_module(f"ostiary.cli.{entry.module}")
    if entry.alone:
        made = module.build()
    else:
        from ostiary.cli.common import Context

        made = module.build(Context(hooks))
    group = typer.main.get_group(made)
    if name in group.commands:
        found = group.commands[name]
        assert isinstance(found, TyperCommand | TyperGroup)
        return found
    group.name, group.help = name, entry.help
    return group


def _version(version: str) -> Callable[[bool], None]:
    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(version)
            raise typer.Exit

    return show
