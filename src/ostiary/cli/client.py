"""`ostiary token`, `connect`, `exec`: what runs beside a program, and needs no file of a gateway's."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from ostiary.cli import complete
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured
from ostiary.cli.told import WHERE, WHICH, telling
from ostiary.client import child
from ostiary.client.fresh import FreshToken
from ostiary.client.gateway import Gateway, Unreachable
from ostiary.client.listening import on_port, on_socket
from ostiary.client.local import LocalTarget
from ostiary.client.saved import NoLogin, SavedLogins, directory_of
from ostiary.client.settings import Told
from ostiary.client.sources import NoIdentity, Surroundings, find
from ostiary.core import Secret

T = TypeVar("T")

Target = Annotated[
    str,
    typer.Argument(
        autocompletion=complete.targets, help="The target, perhaps with a database: orders, orders/archive."
    ),
]


def build() -> typer.Typer:
    """The commands, which belong to no group."""
    app = typer.Typer()

    @app.command()
    @telling(WHICH)
    def token(
        told: Told,
        show: Annotated[bool, typer.Option("--show", help="Print it on a terminal, too.")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Print the token of the identity that this program runs with."""
        if sys.stdout.isatty():
            if not show:
                fail(
                    "a token is not printed on a terminal",
                    "pipe it into what needs it, or say --show",
                    Exit.USAGE,
                )
            say("whoever sees this token can use it until it ends", to=err)
        found = _run(find(told.wanted(), Surroundings(os.environ, time.time)))
        if output is not Output.TABLE:
            ends = None if found.expires_at is None else datetime.fromtimestamp(found.expires_at, UTC).isoformat()
            shown = {"source": found.source, "issuer": found.issuer, "audiences": found.audiences, "expires_at": ends}
            structured({"token": found.secret.reveal_text(), **shown}, output)
        else:
            typer.echo(found.secret.reveal_text())

    @app.command()
    @telling(WHERE)
    def connect(
        target: Target,
        told: Told,
        port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen on 127.0.0.1; 0 is any port.")] = None,
        directory: Annotated[
            Path | None, typer.Option("--socket", help="Directory of the Unix socket (a new, private one).")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Open a local way to a target, with a fresh token for each connection, until told to stop."""
        if port is not None and directory is not None:
            fail("it listens on a port or on a socket", "leave out --port or --socket", Exit.USAGE)
        _run(_connect(told, target, port, directory, output))

    @app.command("exec")
    @telling(WHERE)
    def execute(
        target: Target,
        told: Told,
        command: Annotated[list[str], typer.Argument(metavar="-- CMD [ARG]…", help="What to run.")],
    ) -> None:
        """Run a command with a way to a target in its environment (DATABASE_URL, PGHOST, …), and end as it ends."""
        raise typer.Exit(_run(_execute(told, target, command)))

    return app


async def _connect(told: Told, target: str, port: int | None, directory: Path | None, output: Output) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    local = await _local(told, target)
    listening = on_socket(local.accept, directory) if port is None else on_port(local.accept, port)
    async with listening as place:
        url = place.url(target)
        if output is Output.TABLE:
            who = "only you can reach it" if port is None else "every user of this machine can reach it"
            say(f"{who}, and whoever does is you at the gateway; Ctrl-C ends it", to=err)
            say(f"psql '{url}'")
        else:
            structured({"host": place.host, "port": place.port, "database": target, "url": url}, output)
        sys.stdout.flush()
        await stop.wait()
        await local.close()


async def _execute(told: Told, target: str, command: list[str]) -> int:
    # Good for this run and this port alone: what the child could give away opens nothing else.
    password = Secret(secrets.token_urlsafe(32))
    local = await _local(told, target, password)
    async with on_port(local.accept, 0) as place:
        try:
            told_child = child.environment(os.environ, place, target, password, told.wanted().variable)
            return await child.run(command, told_child)
        finally:
            await local.close()


async def _local(told: Told, target: str, password: Secret | None = None) -> LocalTarget:
    """A way to the target, tried as far as it can be without logging in. Raises what `_run` tells."""
    if not told.gateway:
        told = told.beside(SavedLogins(directory_of(os.environ)).current())
    address = told.address()
    gateway = Gateway(address)
    here = Surroundings(os.environ, time.time)
    wanted = replace(told.wanted(), gateway=str(address))
    fresh = FreshToken(lambda: find(wanted, here), time.time)
    await fresh.get()
    _, writer = await gateway.dial()
    writer.transport.abort()
    return LocalTarget(gateway, fresh, target, password)


def _run(work: Coroutine[object, object, T]) -> T:
    """Run it; what goes wrong becomes a sentence and an exit code."""
    try:
        return asyncio.run(work)
    except child.NotRun as error:
        fail(str(error), code=error.code)
    except NoIdentity as error:
        _no_identity(error)
    except NoLogin as error:
        fail(str(error), error.hint, Exit.REFUSED)
    except Unreachable as error:
        fail(str(error), "look at --gateway, --ca and --server-name; `docs/clients.md` has their variables")
    except ValueError as error:
        fail(str(error), code=Exit.USAGE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))


def _no_identity(error: NoIdentity) -> NoReturn:
    """Say where an identity was looked for, and end."""
    for line in error.looked:
        say(line, to=err)
    fail(str(error), error.hint, Exit.REFUSED)
