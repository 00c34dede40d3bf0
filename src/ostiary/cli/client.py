"""`ostiary token`: what runs beside a program, and needs no file of a gateway's."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured
from ostiary.client import settings
from ostiary.client.settings import Told
from ostiary.client.sources import Kind, NoIdentity, Surroundings, find
from ostiary.client.token import Token

Audience = Annotated[str | None, typer.Option(envvar="OSTIARY_AUDIENCE", help="Whom the token is for (ostiary).")]
Issuer = Annotated[str | None, typer.Option(envvar="OSTIARY_ISSUER", help="Only a token of this issuer (`iss`).")]
Source = Annotated[Kind | None, typer.Option(envvar="OSTIARY_TOKEN_SOURCE", help="Ask only this source.")]
TokenFile = Annotated[str | None, typer.Option(help="Read the token from this file, and only from there.")]
Variable = Annotated[str | None, typer.Option(help="Read the token from this variable, and only from there.")]


def add(app: typer.Typer) -> None:
    """The commands, which belong to no group."""

    @app.command()
    def token(
        audience: Audience = None,
        issuer: Issuer = None,
        source: Source = None,
        token_file: TokenFile = None,
        variable: Variable = None,
        show: Annotated[bool, typer.Option("--show", help="Print it on a terminal, too.")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Print the token of the identity that this program runs with."""
        told = _told(audience=audience, issuer=issuer, source=source, token_file=token_file, variable=variable)
        if sys.stdout.isatty():
            if not show:
                fail(
                    "a token is not printed on a terminal",
                    "pipe it into what needs it, or say --show",
                    Exit.USAGE,
                )
            say("whoever sees this token can use it until it ends", to=err)
        found = _find(told)
        if output is not Output.TABLE:
            ends = None if found.expires_at is None else datetime.fromtimestamp(found.expires_at, UTC).isoformat()
            shown = {"source": found.source, "issuer": found.issuer, "audiences": found.audiences, "expires_at": ends}
            structured({"token": found.secret.reveal_text(), **shown}, output)
        else:
            typer.echo(found.secret.reveal_text())


def _told(**options: object) -> Told:
    try:
        return Told(**options).over(settings.load(os.environ))  # type: ignore[arg-type]
    except ValueError as error:
        fail(str(error), code=Exit.USAGE)


def _find(told: Told) -> Token:
    try:
        return asyncio.run(find(told.wanted(), Surroundings(os.environ, time.time)))
    except NoIdentity as error:
        no_identity(error)


def no_identity(error: NoIdentity) -> NoReturn:
    """Say where an identity was looked for, and end."""
    for line in error.looked:
        say(line, to=err)
    fail(str(error), error.hint, Exit.REFUSED)
