"""`ostiary sessions export`: recordings for those who read them elsewhere."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from ostiary.cli.common import Context, errors
from ostiary.cli.moments import show_moment
from ostiary.cli.output import Exit, Output, err, fail, say, structured
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import sessions as remote
from ostiary.cli.times import when
from ostiary.client.api import Api
from ostiary.recording import Moment, SessionFilter, SessionSummary, summarize

if TYPE_CHECKING:
    from ostiary.control import Operations

_MOST: Final = 100_000
#: Columns and rows of a cast.
_WIDTH, _HEIGHT = 120, 40
_HEADINGS: Final = ("session", "principal", "target", "time", "kind", "command", "text", "notes", "rows")
#: What a spreadsheet takes for a formula when a cell begins with it (OWASP, CSV injection).
_FORMULA: Final = tuple("=+-@\t\r\n")


class Format(StrEnum):
    """`--format`."""

    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"
    TEXT = "text"
    ASCIICAST = "asciicast"


_SUFFIX: Final = {
    Format.NDJSON: ".rec",
    Format.JSON: ".json",
    Format.CSV: ".csv",
    Format.TEXT: ".txt",
    Format.ASCIICAST: ".cast",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One session, wherever it is read."""

    summary: SessionSummary
    #: The recording as it was written.
    raw: Callable[[], Iterator[bytes]]
    moments: Callable[[], Iterator[Moment]]


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context)
    def export(
        reach: Reach,
        sessions: Annotated[
            list[str] | None,
            typer.Argument(metavar="[SESSION]…", help="Session ids; without one, all that are asked for."),
        ] = None,
        form: Annotated[
            Format, typer.Option("--format", "-f", help="ndjson is the recording itself, for `audit verify` elsewhere.")
        ] = Format.NDJSON,
        to: Annotated[
            Path | None,
            typer.Option("--to", help="File, or directory with a file a session; default: standard output."),
        ] = None,
        since: Annotated[str, typer.Option(help="Begun since: 7d, 2026-01-31.")] = "",
        until: Annotated[str, typer.Option(help="Begun before.")] = "",
        target: Annotated[str, typer.Option(help="Only this target.")] = "",
        principal: Annotated[str, typer.Option(help="Only this principal, issuer:subject.")] = "",
        output: Annotated[
            Output, typer.Option("-o", "--output", help="How to list what --to was given.")
        ] = Output.TABLE,
    ) -> None:
        """Write recordings out: their chained lines, or what they say as JSON, CSV, text or a terminal cast."""
        wanted = SessionFilter(principal, target, None, when(since), when(until))
        many = not sessions or len(sessions) > 1
        if not sessions and wanted == SessionFilter():
            fail("say which sessions", "name one, or give --since, --until, --target or --principal", Exit.USAGE)
        if many and (to is None or (to.exists() and not to.is_dir())):
            fail("several sessions need a directory", "name one with --to", Exit.USAGE)
        if to is None and form is not Format.TEXT and sys.stdout.isatty():
            fail(
                "recordings are not printed on a terminal",
                "pipe them, name a file with --to, or say -f text",
                Exit.USAGE,
            )
        with errors():
            found = reach.pick(lambda it: _local(it, sessions, wanted), lambda api: _remote(api, sessions, wanted))
            written = _all(found, form, to, many)
        if to is None:
            return
        if output is not Output.TABLE:
            structured([{"session_id": session_id, "file": path} for session_id, path in written], output)
        else:
            say(f"{len(written)} {'session is' if len(written) == 1 else 'sessions are'} in {to}")

    return export


def _all(found: Iterable[Source], form: Format, to: Path | None, many: bool) -> list[tuple[str, Path | None]]:
    """Sessions, and the files they are in."""
    written: list[tuple[str, Path | None]] = []
    with Progress(console=err, transient=True, disable=to is None or not err.is_terminal) as progress:
        task = progress.add_task("exporting", total=None)
        for source in found:
            progress.update(task, description=source.summary.session_id, completed=len(written))
            place = _place(source.summary, form, to, many)
            with _opened(place) as file:
                _WRITE[form](source, file)
            written.append((source.summary.session_id, place))
    return written


def _place(summary: SessionSummary, form: Format, to: Path | None, many: bool) -> Path | None:
    """A recording keeps its name: the chain is tied to it."""
    if to is None or not (many or to.is_dir()):
        return to
    return to / Path(summary.path.name or f"{summary.session_id}.rec").with_suffix(_SUFFIX[form])


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes]]:
    """For writing, nothing is overwritten, and nothing is left of what failed. None: standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


# ---------------------------------------------------------------- where they are read


def _local(operations: "Operations", named: list[str] | None, wanted: SessionFilter) -> Iterator[Source]:
    found = [summarize(operations.recording_of(each)) for each in named] if named else None
    for each in operations.list_sessions(_MOST, wanted) if found is None else found:
        yield Source(each, partial(_lines, each.path), partial(operations.replay_session, each.session_id))


def _remote(api: Api, named: list[str] | None, wanted: SessionFilter) -> Iterator[Source]:
    found = [remote.summary(api, each) for each in named] if named else remote.list_sessions(api, _MOST, wanted)
    for each in found:
        yield Source(each, partial(remote.export, api, each.session_id), partial(remote.replay, api, each.session_id))


def _lines(path: Path) -> Iterator[bytes]:
    """Whole ones: of a session that lives there may be half of one."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


# ---------------------------------------------------------------- what is written


def _ndjson(source: Source, file: IO[bytes]) -> None:
    for chunk in source.raw():
        file.write(chunk)


def _json(source: Source, file: IO[bytes]) -> None:
    """One document, written as it is read."""
    file.write(b'{"session": ' + _encoded(source.summary) + b', "moments": [')
    for number, moment in enumerate(source.moments()):
        file.write((b",\n" if number else b"\n") + _encoded(moment))
    file.write(b"\n]}\n")


def _csv(source: Source, file: IO[bytes]) -> None:
    """A line a moment, in the order of RFC 4180."""
    summary = source.summary
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    rows = csv.writer(text)
    rows.writerow(_HEADINGS)
    for moment in source.moments():
        at = datetime.fromtimestamp((summary.started or 0.0) + moment.offset, UTC).isoformat()
        what = (moment.kind.value, moment.action_id, moment.text, "; ".join(moment.notes), len(moment.rows) or "")
        rows.writerow(_cell(each) for each in (summary.session_id, summary.principal, summary.target, at, *what))
    text.detach()


def _cell(value: object) -> object:
    """A text that a spreadsheet does not run."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _text(source: Source, file: IO[bytes]) -> None:
    text = io.TextIOWrapper(file, "utf-8", write_through=True)
    console = Console(file=text, width=_WIDTH, emoji=False, highlight=False, color_system=None)
    for moment in source.moments():
        show_moment(moment, console)
    text.detach()


def _asciicast(source: Source, file: IO[bytes]) -> None:
    """Format 2 of asciinema: a line of JSON with the header, then [seconds, "o", text] a line."""
    summary = source.summary
    title = f"{summary.session_id}: {summary.principal} on {summary.target}"
    header = {"version": 2, "width": _WIDTH, "height": _HEIGHT, "timestamp": int(summary.started or 0), "title": title}
    file.write(json.dumps(header).encode() + b"\n")
    for moment in source.moments():
        screen = io.StringIO()
        # Colours only: every text in a moment is harmless to a terminal.
        show_moment(moment, Console(file=screen, width=_WIDTH, emoji=False, highlight=False, force_terminal=True))
        event = [round(moment.offset, 6), "o", screen.getvalue().replace("\n", "\r\n")]
        file.write(json.dumps(event).encode() + b"\n")


def _encoded(thing: object) -> bytes:
    return json.dumps(msgspec.to_builtins(thing, enc_hook=str), ensure_ascii=True).encode()


_WRITE: Final[dict[Format, Callable[[Source, IO[bytes]], None]]] = {
    Format.NDJSON: _ndjson,
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.TEXT: _text,
    Format.ASCIICAST: _asciicast,
}
