"""`ostiary policy simulate`: what other policies would have made of what was recorded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ostiary.cli.common import Context, errors
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import policies as remote
from ostiary.cli.times import when
from ostiary.control.simulation import Change, Simulation, SimulationFilter


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context)
    def simulate(
        reach: Reach,
        policies: Annotated[Path, typer.Option(help="File or directory of the policies to compare with.")],
        since: Annotated[str, typer.Option(help="Sessions begun since: 7d, 2026-01-31.")] = "",
        target: Annotated[str, typer.Option(help="Only sessions on this target.")] = "",
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Rule again on what was recorded, with the policies in force and with others: where do they differ?"""
        wanted = SimulationFilter(target, when(since))
        with errors():
            parts = reach.pick(
                lambda it: it.simulate(policies, wanted), lambda api: remote.simulate(api, _texts(policies), wanted)
            )
            found = _merged(_counted(parts))
        if output is not Output.TABLE:
            structured(found, output)
            return
        rows = [
            (
                change.target,
                f"{change.before} → {change.after}",
                change.count,
                change.summary,
                change.principals,
                f"{_rules(change.rules_before)} → {_rules(change.rules_after)}",
                change.session_id,
            )
            for change in found.changes
        ]
        headings = ("TARGET", "RULING", "COUNT", "WHAT", "WHO", "RULES", "SESSION")
        folded = ("WHAT", "WHO", "RULES")
        table(headings, rows, "nothing would be ruled otherwise", folded=folded, dropped=("SESSION", "TARGET", "RULES"))
        differ = sum(change.count for change in found.changes)
        say(f"{found.sessions} sessions, {found.commands} commands: {differ} would be ruled otherwise")
        if found.drifted:
            say(
                f"{found.drifted} commands are ruled otherwise by the policies in force, too, than was recorded", to=err
            )
        if found.skipped:
            say(f"{found.skipped} commands can't be asked about: they are not recorded whole, or unreadable", to=err)

    return simulate


def _texts(path: Path) -> dict[str, str]:
    """Text by name of file."""
    files = sorted(path.glob("*.cedar")) if path.is_dir() else [path]
    if not files:
        fail(f"{path}: no *.cedar file in it", "name the policies to compare with", Exit.USAGE)
    try:
        return {file.name: file.read_text("utf-8") for file in files}
    except UnicodeDecodeError:
        fail(f"{path}: not UTF-8 text", code=Exit.USAGE)


def _counted(parts: Iterable[Simulation]) -> Iterator[Simulation]:
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("ruling again", total=None)
        commands = 0
        for part in parts:
            commands += part.commands
            progress.update(task, description=f"ruling again: {commands} commands")
            yield part


def _merged(parts: Iterable[Simulation]) -> Simulation:
    whole = Simulation(0, 0, 0, 0, (), None)
    changes: dict[tuple[object, ...], Change] = {}
    for part in parts:
        for change in part.changes:
            key = (*(getattr(change, name) for name in _KEY),)
            known = changes.get(key)
            changes[key] = change if known is None else _added(known, change)
        whole = Simulation(
            whole.sessions + part.sessions,
            whole.commands + part.commands,
            whole.skipped + part.skipped,
            whole.drifted + part.drifted,
            (),
            None,
        )
    return replace(whole, changes=tuple(sorted(changes.values(), key=lambda change: -change.count)))


_KEY = ("target", "summary", "before", "after", "rules_before", "rules_after")


def _added(known: Change, more: Change) -> Change:
    principals = tuple(dict.fromkeys((*known.principals, *more.principals)))[:10]
    return replace(known, count=known.count + more.count, principals=principals)


def _rules(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no rule"
