"""`ostiary sessions kill`: ends what lives, so it always asks the gateway that it lives in."""

import re
from collections.abc import Callable
from typing import Annotated

import typer

from ostiary.cli import complete
from ostiary.cli.common import Context, errors
from ostiary.cli.output import Exit, Output, OutputOption, fail, say, structured
from ostiary.cli.reach import Reach, reaching

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context, local=False)
    def kill(
        session: Annotated[
            str, typer.Argument(autocompletion=complete.sessions, help="The whole id of a session that lives.")
        ],
        reason: Annotated[str, typer.Option(help="A line that its client reads, and for the record.")],
        reach: Reach,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """End a live session at once, through the API of its gateway."""
        api = reach.api
        if not _ID.fullmatch(session):
            fail("a session id is letters, digits, - and _", "`ostiary sessions list` shows the ids", Exit.USAGE)
        with errors():
            ended = api.post(f"/sessions/{session}/kill", {"reason": reason})
        if output is not Output.TABLE:
            structured(ended, output)
        elif ended.get("closed"):
            say(f"session {session} has ended")
        else:
            say(f"session {session} ends: its record and its credential are still being closed")

    return kill
