"""Where things are in a directory of recordings.

    recording.pub, keys/<fingerprint>.pub      public keys, the gateway's present one and every one it had
    2026/01/31/235959-<session id>.rec         a session, under the UTC time it began
    heads/20260131T000000.000000Z-<node>-<pid>-<random>.log      what happened to recordings, one file a process and day
    audit/20260131T120000.000000Z-<node>-<pid>-<random>.log      changes through the API, one file a process and day

A day's folder lists in the order of its sessions' beginnings without opening one of them.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_FILE: Final = re.compile(r"\d{6}-([A-Za-z0-9][A-Za-z0-9_-]{0,127})\.rec")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Shown when a prefix is not unique.
_CANDIDATES: Final = 5


class NoSuchSession(LookupError):  # noqa: N818 - reads as what happened
    """No recording, or more than one, has that id; the message says which, `hint` the next step."""

    def __init__(self, message: str, hint: str = "`ostiary sessions list` shows the ids") -> None:
        super().__init__(message)
        self.hint = hint


def file_of(session_id: str, started: float) -> Path:
    """Path of a recording under the directory. Raises ValueError for an id that could name another place."""
    if _ID.fullmatch(session_id) is None:
        raise ValueError("a session id is 1 to 128 letters, digits, - and _, and begins with a letter or digit")
    return Path(
        time.strftime("%Y/%m/%d", time.gmtime(started)),
        f"{time.strftime('%H%M%S', time.gmtime(started))}-{session_id}.rec",
    )


def session_of(path: Path) -> str:
    """The id in a recording's file name. Raises ValueError for any other file."""
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path}: not named as a recording is (hhmmss-<session id>.rec)")
    return match[1]


def recordings(directory: Path) -> Iterator[Path]:
    """Every recording, newest first."""
    for year in _folders(directory, 4):
        for month in _folders(year, 2):
            for day in _folders(month, 2):
                names = (path.name for path in day.iterdir())
                for name in sorted((name for name in names if _FILE.fullmatch(name)), reverse=True):
                    yield day / name


def heads_logs(directory: Path) -> list[Path]:
    """Every heads log, oldest first."""
    return sorted((directory / "heads").glob("*.log"))


def audit_logs(directory: Path) -> list[Path]:
    """Every audit log, oldest first."""
    return sorted((directory / "audit").glob("*.log"))


def find(directory: Path, prefix: str) -> Path:
    """The recording whose id is `prefix`, or the only one whose id begins with it. Raises NoSuchSession."""
    if _PREFIX.fullmatch(prefix) is None:
        raise NoSuchSession("a session id is letters, digits, - and _")
    matches: list[Path] = []
    for path in recordings(directory):
        session_id = session_of(path)
        if session_id == prefix:
            return path
        if session_id.startswith(prefix):
            matches.append(path)
    match matches:
        case [path]:
            return path
        case []:
            raise NoSuchSession(f"no recording of a session {prefix}")
        case _:
            some = ", ".join(session_of(path) for path in matches[:_CANDIDATES])
            more = f" and {len(matches) - _CANDIDATES} more" if len(matches) > _CANDIDATES else ""
            raise NoSuchSession(f"{prefix} is the beginning of {some}{more}", "give more of the id")


def _folders(parent: Path, digits: int) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(
        (p for p in parent.iterdir() if len(p.name) == digits and p.name.isdecimal() and p.is_dir()), reverse=True
    )
