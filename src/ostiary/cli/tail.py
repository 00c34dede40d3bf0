"""`ostiary sessions tail`: a session while it goes on, as its recording is written."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ostiary.cli.common import Context, errors
from ostiary.cli.moments import show_moment
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, line, say
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import sessions as remote
from ostiary.client.api import Api, ApiFailed
from ostiary.recording import Moment

if TYPE_CHECKING:
    from ostiary.control import Operations

#: Seconds between two looks at a file.
_POLL: Final = 0.5
#: Times that a connection which broke off is made again in a row, with pauses that double.
_TRIES: Final = 5


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context)
    def tail(
        session: Annotated[str, typer.Argument(help="Session id; with -c the beginning of one will do.")],
        reach: Reach,
        last: Annotated[int, typer.Option("--last", "-n", min=0, max=1000, help="Moments of before.")] = 10,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Follow a session as it is recorded, until it ends. JSON is a line a moment."""
        with errors():
            found = reach.pick(lambda it: _local(it, session, last), lambda api: _remote(api, session, last))
            try:
                for moment in found:
                    if output is Output.TABLE:
                        show_moment(moment)
                    else:
                        line(moment, output)
            except KeyboardInterrupt:
                raise typer.Exit(130) from None

    return tail


def _local(operations: "Operations", session: str, last: int) -> Iterator[Moment]:
    following = operations.follow_session(session)
    before: deque[Moment] = deque(maxlen=last)
    while not following.caught_up:
        before.extend(moment for _, moment in following.more())
    yield from before
    while not following.ended:
        time.sleep(_POLL)
        yield from (moment for _, moment in following.more())


def _remote(api: Api, session: str, last: int) -> Iterator[Moment]:
    """Goes on where it broke off: a gateway ends each stream after an hour, and may be started anew."""
    after: int | None = None
    tries = 0
    while True:
        try:
            for number, moment in remote.tail(api, session, last, after):
                after, tries = number, 0
                yield moment
        except remote.Interrupted as error:
            fail(f"the gateway tells no more: {error}", "`ostiary whoami` shows who you are", Exit.REFUSED)
        except ApiFailed as error:
            tries += 1
            if error.status not in (0, 503) or after is None or tries > _TRIES:
                raise
            say(f"{error}; going on in {2**tries} s", to=err)
            time.sleep(2**tries)
        else:
            return
