"""What every group of commands needs: the configuration, and errors as sentences."""

import asyncio
import os
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeVar

import typer

from ostiary.cli.hooks import Hooks
from ostiary.cli.output import Exit, Output, err, fail, say, structured
from ostiary.client.api import ApiFailed
from ostiary.core import Secret

if TYPE_CHECKING:
    from ostiary.control import Operations

T = TypeVar("T")
ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", envvar="OSTIARY_CONFIG", help="Configuration (default: ./ostiary.yaml)."),
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with your token; default: the variable OSTIARY_TOKEN.")
]
_LONGEST_TOKEN = 64 * 1024


class Context:
    """Makes the use-cases when a command asks for them."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks

    def path(self, config: Path | None) -> Path:
        """The configuration file."""
        path = config or Path("ostiary.yaml")
        try:
            missing = not path.exists()
        except OSError:
            # Whoever reads it says why it can't be read.
            missing = False
        if missing:
            fail(
                f"{path} does not exist",
                "name a configuration with -c, or make one with `ostiary init DIR`",
                Exit.USAGE,
            )
        return path

    def operations(self, config: Path | None) -> "Operations":
        """Use-cases on its gateway."""
        path = self.path(config)
        try:
            return self.hooks.operations(path)
        except ValueError as error:
            wrong(str(error).splitlines(), "the configuration can't be used")


def wrong(problems: Sequence[str], what: str) -> NoReturn:
    """Say what is wrong with files, a line each, and end."""
    for problem in problems:
        say(problem, to=err)
    fail(what, f"mend the {'line' if len(problems) == 1 else f'{len(problems)} lines'} named above", Exit.USAGE)


def verdict(problems: Sequence[str], fine: str, bad: str, output: Output) -> None:
    """What a check found: sentences for people, a list of them for programs. Exit code 2 unless there are none."""
    if output is not Output.TABLE:
        structured(problems, output)
        if problems:
            raise typer.Exit(Exit.USAGE)
    elif problems:
        wrong(problems, bad)
    else:
        say(fine)


#: HTTP status → how the command ends.
_EXITS: Final = {
    400: Exit.USAGE,
    401: Exit.REFUSED,
    403: Exit.REFUSED,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    412: Exit.REFUSED,
    422: Exit.USAGE,
    428: Exit.REFUSED,
}


def not_done(error: ApiFailed) -> NoReturn:
    """Say what the gateway said, and end."""
    for line in error.errors:
        say(line, to=err)
    fail(
        str(error), error.hint, Exit.NOT_FOUND if error.problem == "not-live" else _EXITS.get(error.status, Exit.FAILED)
    )


@contextmanager
def errors() -> Iterator[None]:
    """Errors of the rooms become sentences and exit codes."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        # RuntimeErrors by ancestry: already said.
        raise
    except ApiFailed as error:
        not_done(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), _whose(error))
    except Exception as error:
        _told(error)
        raise


def _told(error: Exception) -> None:
    """End with the sentence of an error that a room has for people; any other one is none of those."""
    # Imported here: only what went wrong needs to know all that can, and the rooms take a third of a second.
    from ostiary.approvals import ApprovalError, UnknownRequest
    from ostiary.control import AccountChanged, UnknownAccount
    from ostiary.credentials import SecretUnavailable
    from ostiary.gate.ports import Refused
    from ostiary.policy import PolicyError
    from ostiary.recording import DamagedRecording, KeyProblem, NewerFormat, NoSuchSession

    match error:
        case Refused():
            fail(error.refusal.message, error.refusal.hint, Exit.REFUSED)
        case UnknownRequest() | UnknownAccount() | NoSuchSession():
            fail(str(error), error.hint, Exit.NOT_FOUND)
        case ApprovalError():
            fail(str(error), error.hint, Exit.REFUSED)
        case AccountChanged():
            fail(str(error), "look again", Exit.REFUSED)
        case PolicyError():
            wrong([str(problem) for problem in error.problems], "the policies can't be used")
        case SecretUnavailable() | KeyProblem() | DamagedRecording() | NewerFormat() | ValueError() | RuntimeError():
            fail(str(error))


def _whose(error: OSError) -> str:
    return "run it as the gateway's user" if isinstance(error, PermissionError) else ""


def run(work: Coroutine[object, object, T]) -> T:
    """Run one asynchronous use-case."""
    return asyncio.run(work)


def read_token(path: Path | None) -> Secret:
    """Your token, from that file or the variable OSTIARY_TOKEN; else the command ends."""
    if path is None:
        value = os.environb.get(b"OSTIARY_TOKEN", b"")
        if not value:
            fail(
                "no token to do it with",
                "set OSTIARY_TOKEN, name a file with --token-file, or log in with `ostiary login`",
                Exit.USAGE,
            )
        return Secret(value.strip())
    try:
        with path.open("rb") as file:
            return Secret(file.read(_LONGEST_TOKEN).strip())
    except OSError as error:
        fail(f"{path}: {error.strerror}", "name a readable file that holds your token", Exit.USAGE)
