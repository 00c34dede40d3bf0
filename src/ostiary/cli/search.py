"""`ostiary audit search|export`: what was done through the gateway, and what was changed in it."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.progress import Progress

from ostiary.cli.common import Context, errors
from ostiary.cli.output import Output, OutputOption, err, moment, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import audit as remote
from ostiary.cli.times import when
from ostiary.client.api import Api, ApiFailed
from ostiary.control import Operations
from ostiary.recording import AuditFilter, Changed, CommandFound

TextArgument = Annotated[str, typer.Argument(help="Anywhere in the statement, or in the reason of a change.")]
PrincipalOption = Annotated[str, typer.Option(help="Only of this principal, issuer:subject.")]
ActionOption = Annotated[str, typer.Option(help="An operation (read, delete, …), or what a change took (administer).")]
ResourceOption = Annotated[str, typer.Option(help="Beginning of an object, orders/public.people, or of what changed.")]
TargetOption = Annotated[str, typer.Option(help="Only commands on this target.")]
SinceOption = Annotated[str, typer.Option(help="Not before: 7d ago, 2026-01-31.")]
UntilOption = Annotated[str, typer.Option(help="Before.")]
_SHOWN: Final = 300


class Kind(StrEnum):
    """`--in`."""

    ALL = "all"
    COMMANDS = "commands"
    CHANGES = "changes"


InOption = Annotated[Kind, typer.Option("--in", help="Only commands of sessions, or only changes of the gateway.")]


class Format(StrEnum):
    """`--format`."""

    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Event:
    """A command, or a stage of a change."""

    #: Unix seconds.
    time: float
    kind: Kind
    principal: str
    source: str
    #: What was done, and to what.
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    #: How it was ruled; how far a change got.
    result: str
    rules: tuple[str, ...]
    #: The statement; the reason of a change.
    text: str
    #: Of a session and its command; of a change.
    session_id: str = ""
    action_id: int | None = None
    change_id: str = ""

    @classmethod
    def of(cls, found: CommandFound | Changed) -> "Event":
        """From either log."""
        if isinstance(found, Changed):
            change = found.change
            return cls(
                found.time,
                Kind.CHANGES,
                change.by,
                change.source,
                (change.action,),
                (change.resource,),
                change.stage.value,
                change.rules,
                change.reason,
                change_id=change.change_id,
            )
        pairs = [each.partition(" ") for each in found.accesses]
        actions = tuple(dict.fromkeys(operation for operation, _, _ in pairs))
        objects = tuple(dict.fromkeys(name for _, _, name in pairs)) or (found.target,)
        what = (actions, objects, found.verdict, found.rules, found.text)
        return cls(found.time, Kind.COMMANDS, found.principal, found.source, *what, found.session_id, found.action_id)


def build(context: Context) -> tuple[Callable[..., None], Callable[..., None]]:
    """Search and export."""

    @reaching(context)
    def search(
        reach: Reach,
        text: TextArgument = "",
        principal: PrincipalOption = "",
        action: ActionOption = "",
        resource: ResourceOption = "",
        target: TargetOption = "",
        since: SinceOption = "",
        until: UntilOption = "",
        kind: InOption = Kind.ALL,
        limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Look through recordings and the audit log. What is found first is of the newest sessions."""
        wanted = AuditFilter(principal, action, resource, target, when(since), when(until), text)
        with errors():
            parts = [
                islice(part, limit)
                for part in reach.pick(partial(_local, wanted, kind), partial(_remote, wanted, kind))
            ]
            newest = sorted(_counted(chain(*parts), "looking"), key=lambda each: each.time, reverse=True)[:limit]
        if output is not Output.TABLE:
            structured(newest, output)
            return
        rows = [
            (
                moment(e.time),
                e.principal,
                e.actions,
                e.resources,
                e.result.partition(":")[0],
                e.text[:_SHOWN],
                e.session_id or e.change_id,
            )
            for e in newest
        ]
        headings = ("TIME (UTC)", "PRINCIPAL", "ACTION", "RESOURCE", "RESULT", "WHAT", "SESSION OR CHANGE")
        folded = ("PRINCIPAL", "ACTION", "RESOURCE", "WHAT", "RESULT")
        table(
            headings,
            rows,
            "nothing was found",
            folded=folded,
            dropped=("SESSION OR CHANGE", "ACTION", "RESOURCE", "RESULT"),
        )

    @reaching(context)
    def export(
        reach: Reach,
        text: TextArgument = "",
        principal: PrincipalOption = "",
        action: ActionOption = "",
        resource: ResourceOption = "",
        target: TargetOption = "",
        since: SinceOption = "",
        until: UntilOption = "",
        kind: InOption = Kind.ALL,
        form: Annotated[Format, typer.Option("--format", "-f", help="A line of JSON an event.")] = Format.NDJSON,
        to: Annotated[Path | None, typer.Option("--to", help="A new file; default: standard output.")] = None,
        output: Annotated[
            Output, typer.Option("-o", "--output", help="How to tell what --to was given.")
        ] = Output.TABLE,
    ) -> None:
        """Write out all that `search` finds, changes first."""
        del form
        wanted = AuditFilter(principal, action, resource, target, when(since), when(until), text)
        with errors():
            parts = reach.pick(partial(_local, wanted, kind), partial(_remote, wanted, kind))
            events = _counted(chain(*parts), "exporting", quiet=to is None)
            written = _written(events, to)
        if to is not None and output is not Output.TABLE:
            structured({"events": written, "file": to}, output)
        elif to is not None:
            say(f"{written} events are in {to}")

    return search, export


def _local(wanted: AuditFilter, kind: Kind, operations: Operations) -> list[Iterator[Event]]:
    found: list[Iterator[Event]] = []
    if kind is not Kind.COMMANDS and not wanted.target:
        found.append(map(Event.of, operations.search_changes(wanted)))
    if kind is not Kind.CHANGES:
        found.append(map(Event.of, operations.search_commands(wanted)))
    return found


def _remote(wanted: AuditFilter, kind: Kind, api: Api) -> list[Iterator[Event]]:
    found: list[Iterator[Event]] = []
    if kind is not Kind.COMMANDS and not wanted.target:
        found.append(_permitted(map(Event.of, remote.search_changes(api, wanted)), kind))
    if kind is not Kind.CHANGES:
        found.append(map(Event.of, remote.search_commands(api, wanted)))
    return found


def _permitted(changes: Iterator[Event], kind: Kind) -> Iterator[Event]:
    """Who asked for everything gets what there is to see, and is told of the rest."""
    try:
        yield from changes
    except ApiFailed as error:
        if error.status != 403 or kind is Kind.CHANGES:
            raise
        say(f"changes are left out: {error}", to=err)


def _counted(events: Iterable[Event], what: str, *, quiet: bool = False) -> Iterator[Event]:
    with Progress(console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        for number, event in enumerate(events, 1):
            progress.update(task, description=f"{what}: {number}")
            yield event


def _written(events: Iterable[Event], to: Path | None) -> int:
    if to is None:
        return _lines(events, sys.stdout.write)
    number = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "w", encoding="ascii") as file:
        return _lines(events, file.write)


def _lines(events: Iterable[Event], write: Callable[[str], object]) -> int:
    written = 0
    for event in events:
        write(json.dumps(msgspec.to_builtins(event), ensure_ascii=True) + "\n")
        written += 1
    return written
