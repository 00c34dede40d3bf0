"""The command line: `build` makes the Typer application from the use-cases it is handed."""

from ostiary.cli.main import Hooks, build

__all__ = ["Hooks", "build"]
