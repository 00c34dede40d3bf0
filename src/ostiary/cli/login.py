"""`ostiary login`, `logout`: a person's login at a gateway, kept for the commands that ask it or go through it."""

import asyncio
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import typer

from ostiary.cli.output import Exit, Output, OutputOption, err, fail, moment, say, structured
from ostiary.client import browser
from ostiary.client.login import by_browser, by_device, who
from ostiary.client.oauth import Granted, OAuthFailed, Server, discover, origin
from ostiary.client.saved import Login, NoLogin, SavedLogins, directory_of
from ostiary.client.settings import Told
from ostiary.core import printable

T = TypeVar("T")
_INTERRUPTED = 130
Url = Annotated[
    str | None,
    typer.Argument(envvar="OSTIARY_API", help="The gateway's API, https://HOST:PORT (that of the current login)."),
]


def build() -> typer.Typer:
    """The commands, which belong to no group."""
    app = typer.Typer()

    @app.command()
    def login(
        url: Url = None,
        device: Annotated[bool, typer.Option("--device", help="Show a code to type in on another machine.")] = False,
        no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address to go to.")] = False,
        ca: Annotated[
            Path | None,
            typer.Option(envvar="OSTIARY_CA", help="PEM file of the authorities that may sign its certificate."),
        ] = None,
        gateway: Annotated[
            str | None,
            typer.Option(envvar="OSTIARY_GATEWAY", help="HOST:PORT of its data path (the API's host, port 5432)."),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Log in at a gateway as a person, in the browser."""
        logins = SavedLogins(directory_of(os.environ))
        made = _run(
            _login(logins, url, None if ca is None else str(ca.absolute()), gateway, device=device, quiet=no_browser)
        )
        shown = {"api": made.api, "principal": made.principal, "gateway": made.gateway}
        if output is not Output.TABLE:
            until = None if made.until is None else moment(made.until)
            structured({**shown, "access_until": moment(made.access_until), "until": until}, output)
            return
        if made.until is not None:
            ends = f"until {moment(made.until)} UTC"
        else:
            ends = f"until {moment(made.access_until)} UTC" + (", renewed when it is used" if made.refresh else "")
        say(f"logged in at {made.api} as {made.principal}, {ends}")

    @app.command()
    def logout(url: Url = None, output: OutputOption = Output.TABLE) -> None:
        """End a login: at the gateway, and on this machine."""
        logins = SavedLogins(directory_of(os.environ))
        try:
            ended, problem = logins.end(None if url is None else origin(_address(url)))
        except NoLogin as error:
            fail(str(error), error.hint)
        except ValueError as error:
            fail(str(error), code=Exit.USAGE)
        except OSError as error:
            fail(f"the login could not be removed: {error.strerror}")
        if problem:
            say(
                ("warning:", "yellow"), f" {problem}: whoever has a copy of this login can use it until it ends", to=err
            )
        if output is not Output.TABLE:
            structured({"api": ended.api if ended else None, "revoked": ended is not None and not problem}, output)
        elif ended is None:
            say("nobody was logged in" + ("" if url is None else f" at {url}"), to=err)
        else:
            say(f"logged out at {ended.api}")

    return app


async def _login(
    logins: SavedLogins, url: str | None, ca: str | None, gateway: str | None, *, device: bool, quiet: bool
) -> Login:
    before = logins.current() if url is None else logins.at(origin(_address(url)))
    if url is not None:
        address = _address(url)
    elif before is not None:
        address = before.server.issuer
    else:
        raise ValueError("no gateway is named: `ostiary login https://HOST:PORT`")
    if before is not None:
        ca, gateway = ca or before.ca, gateway or before.gateway
    server = await discover(address, ca)
    api = origin(server.issuer)
    place = _place(gateway or urlsplit(api).hostname or "")
    granted = await _granted(server, device=device, quiet=quiet)
    now = time.time()
    said = await who(api, granted.access, ca)
    made = Login(
        api=api,
        ca=ca,
        gateway=place,
        principal=printable(str(said["principal"])),
        server=server,
        access=granted.access,
        granted_at=now,
        access_until=now + granted.seconds,
        refresh=granted.refresh,
        until=None if granted.login_seconds is None else now + granted.login_seconds,
    )
    logins.save(made)
    return made


async def _granted(server: Server, *, device: bool, quiet: bool) -> Granted:
    found = not (device or quiet) and browser.find(os.environ)
    if not (device or quiet or found) and "device_authorization_endpoint" in server.endpoints:
        say("there is no browser here; log in on another machine", to=err)
        device = True
    if device:
        return await by_device(server, _show_code)

    def show(url: str) -> None:
        if not found:
            say("go to this address with a browser on this machine:", to=err)
        else:
            say("your browser opens; if it does not, go to this address with one on this machine:", to=err)
            browser.show(url, os.environ)
        say(f"  {url}", to=err)

    return await by_browser(server, show)


def _show_code(address: str, code: str) -> None:
    say("go to ", (address, "bold"), to=err)
    say("and type in ", (code, "bold"), "   (only if you asked for this login yourself)", to=err)


def _place(gateway: str) -> str:
    """`HOST:PORT`. Raises ValueError."""
    bare = ":" in gateway.partition(":")[2] and not gateway.startswith("[")
    return str(Told(gateway=f"[{gateway}]" if bare else gateway).address())


def _address(url: str) -> str:
    return url if "://" in url else f"https://{url}"


def _run(work: Coroutine[object, object, T]) -> T:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        fail("stopped: nobody was logged in", code=_INTERRUPTED)
    except OAuthFailed as error:
        fail(str(error), error.hint, Exit.REFUSED if error.code else Exit.FAILED)
    except NoLogin as error:
        fail(str(error), error.hint)
    except ValueError as error:
        fail(str(error), code=Exit.USAGE)
    except OSError as error:
        fail(f"the login could not be kept: {error.strerror}", "look at $XDG_STATE_HOME, ~/.local/state/ostiary")
