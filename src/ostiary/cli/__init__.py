"""The command line: `build` makes the Typer application from the use-cases it is handed."""

from ostiary.cli.hooks import Hooks
from ostiary.cli.main import build

__all__ = ["Hooks", "build"]
