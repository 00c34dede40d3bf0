"""`ostiary sessions kill`: the one command that asks a running gateway, through its API."""

import re
from pathlib import Path
from typing import Annotated

import typer

from ostiary.cli.common import TokenFileOption, errors, read_token
from ostiary.cli.output import Exit, Output, OutputOption, fail, say, structured
from ostiary.client.api import Api, ApiFailed

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
#: HTTP status → how the command ends.
_EXITS = {401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, 409: Exit.NOT_FOUND, 422: Exit.USAGE}


def kill(
    session: Annotated[str, typer.Argument(help="The whole id of a session that lives.")],
    reason: Annotated[str, typer.Option(help="A line that its client reads, and for the record.")],
    api: Annotated[str, typer.Option(envvar="OSTIARY_API", help="The gateway's API, https://HOST:PORT.")],
    ca: Annotated[
        Path | None, typer.Option(envvar="OSTIARY_CA", help="Its certificate authority; default: the system's.")
    ] = None,
    token_file: TokenFileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """End a live session at once, through the API of its gateway."""
    token = read_token(token_file)
    if not _ID.fullmatch(session):
        fail("a session id is letters, digits, - and _", "`ostiary sessions list` shows the ids", Exit.USAGE)
    with errors():
        try:
            ended = Api(api, token, ca).post(f"/sessions/{session}/kill", {"reason": reason})
        except ApiFailed as error:
            fail(str(error), error.hint, _EXITS.get(error.status, Exit.FAILED))
    if output is not Output.TABLE:
        structured(ended, output)
    elif ended.get("closed"):
        say(f"session {session} has ended")
    else:
        say(f"session {session} ends: its record and its credential are still being closed")
