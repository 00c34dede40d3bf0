"""What every group of commands needs: the configuration, and errors as sentences."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ostiary.approvals import ApprovalError, UnknownRequest
from ostiary.cli.output import Exit, err, fail
from ostiary.control import Operations
from ostiary.gate.ports import Refused

T = TypeVar("T")
ConfigOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", envvar="OSTIARY_CONFIG", help="Configuration (default: ./ostiary.yaml)."),
]


class Context:
    """Makes the use-cases when a command asks for them."""

    def __init__(self, make: Callable[[Path], Operations]) -> None:
        self._make = make

    def path(self, config: Path | None) -> Path:
        """The configuration file."""
        path = config or Path("ostiary.yaml")
        if not path.exists():
            fail(
                f"{path} does not exist",
                "name a configuration with -c, or make one with `ostiary init DIR`",
                Exit.USAGE,
            )
        return path

    def operations(self, config: Path | None) -> Operations:
        """Use-cases on its gateway."""
        path = self.path(config)
        try:
            return self._make(path)
        except ValueError as error:
            for line in str(error).splitlines():
                err.print(line, soft_wrap=True, markup=False, highlight=False)
            fail("the configuration can't be used", "mend the lines named above", Exit.USAGE)


@contextmanager
def errors() -> Iterator[None]:
    """Errors of the rooms become sentences and exit codes."""
    try:
        yield
    except Refused as error:
        fail(error.refusal.message, error.refusal.hint, Exit.REFUSED)
    except UnknownRequest as error:
        fail(str(error), error.hint, Exit.NOT_FOUND)
    except ApprovalError as error:
        fail(str(error), error.hint, Exit.REFUSED)
    except LookupError as error:
        fail(str(error.args[0] if error.args else error), "see `ostiary sessions list`", Exit.NOT_FOUND)
    except (OSError, ValueError, RuntimeError) as error:
        fail(str(error))


def run(work: Coroutine[object, object, T]) -> T:
    """Run one asynchronous use-case."""
    return asyncio.run(work)
