"""What a shell offers in place of a name: targets, sessions, requests, as a gateway or the files here have them.

A TAB must not hang, complain, renew a login or start anything: there is a second for it, and then nothing is offered. A
shell evaluates what it is offered, so a name that is not of plain letters is left out.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import typer

_SECONDS: Final = 1.0
_MOST: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RECORDING: Final = re.compile(r"\d{6}-(.*)\.rec")
_MAX_FILE: Final = 1 << 20


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of targets: those that may be viewed, or those of the configuration."""
    return _offer(incomplete, lambda: _asked(ctx, "/targets", "name") or _declared(ctx))


def sessions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of recent sessions: those that may be viewed, or the recordings here."""
    return _offer(incomplete, lambda: _asked(ctx, "/sessions", "session_id") or _recorded(ctx))


def approvals(ctx: typer.Context, incomplete: str) -> list[str]:
    """Codes of requests that can be decided now."""
    return _offer(incomplete.upper(), lambda: _asked(ctx, "/approvals", "code"))


def _offer(incomplete: str, find: Callable[[], Iterable[str]]) -> list[str]:
    found: list[str] = []

    def work() -> None:
        # A configuration that can't be read, a gateway that is away, no login: none of it is for a TAB to tell.
        with suppress(Exception):
            found.extend(find())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return [name for name in [*found][:_MOST] if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


def _asked(ctx: typer.Context, path: str, member: str) -> list[str]:
    """By the API, where one is named or somebody is logged in, and no configuration is nearer."""
    from ostiary.client.api import Api
    from ostiary.client.saved import SavedLogins, directory_of
    from ostiary.core import Secret

    named = ctx.params.get("api") or os.environ.get("OSTIARY_API")
    if ctx.params.get("config") or (not named and "config" in ctx.params and _configuration(ctx).exists()):
        return []
    logins = SavedLogins(directory_of(os.environ))
    login = logins.at(str(named).rstrip("/")) if named else logins.current()
    given = os.environ.get("OSTIARY_TOKEN")
    if named and given:
        url, token = str(named), Secret(given)
    elif login is not None and login.access_until > time.time():
        url, token = login.api, login.access
    else:
        return []
    ca = ctx.params.get("ca") or os.environ.get("OSTIARY_CA") or (login.ca if login is not None else None)
    with Api(url, token, Path(ca) if ca else None) as api:
        items = api.send("GET", path, query={"limit": _MOST}, seconds=_SECONDS).body or {}
    return [str(each[member]) for each in items["items"]]


def _declared(ctx: typer.Context) -> list[str]:
    return [str(each["name"]) for each in _read(_configuration(ctx))["targets"]]


def _recorded(ctx: typer.Context) -> list[str]:
    path = _configuration(ctx)
    directory = path.parent / str(_read(path).get("server", {}).get("recordings", "recordings")).removeprefix("file://")
    files = islice(_newest(directory, 3), _MOST)
    return [found[1] for name in files if (found := _RECORDING.fullmatch(name))]


def _newest(directory: Path, depth: int) -> Iterator[str]:
    """Files of year/month/day, the last ones first."""
    for path in sorted(directory.iterdir(), reverse=True):
        if depth == 0:
            yield path.name
        elif path.name.isdigit():
            yield from _newest(path, depth - 1)


def _configuration(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("config") or os.environ.get("OSTIARY_CONFIG") or "ostiary.yaml")


def _read(path: Path) -> Any:
    import yaml

    with path.open("rb") as file:
        return yaml.load(file.read(_MAX_FILE), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
