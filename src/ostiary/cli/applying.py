"""`ostiary apply`: what files declare, shown as a difference, and then made so in one change."""

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ostiary.cli.common import Context, errors, run, wrong
from ostiary.cli.operator import this_user
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured
from ostiary.cli.reach import Reach, reaching
from ostiary.client.api import ApiFailed

if TYPE_CHECKING:
    from ostiary.cli.hooks import Pieces

_MARKS: Final = {"create": ("+", "green"), "change": ("~", "yellow"), "delete": ("-", "red")}
#: Seconds that the gateway may take to look at it all.
_SECONDS: Final = 60.0
_SHOWN: Final = 200


def build(context: Context) -> typer.Typer:
    """The command."""
    app = typer.Typer()

    @app.command()
    @reaching(context)
    def apply(
        files: Annotated[
            Path, typer.Option("-f", "--file", help="A file, or a directory of *.yaml and policies/*.cedar.")
        ],
        reach: Reach,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only show what would change; exit code 6 when something would.")
        ] = False,
        prune: Annotated[
            bool, typer.Option("--prune", help="Delete what was declared through the API and is not in the files.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Declare what the files declare, all of it or nothing, after showing what changes."""
        found = _read(context, files)
        body = {
            "resources": [
                {"kind": key.kind.value, "name": key.name, "document": each.document}
                for key, each in found.declared.items()
            ],
            "prune": prune,
        }
        for note in found.notes:
            say(("note:", "dim"), f"  {note}", to=err)
        with errors():
            shown = _post(reach, body | {"dry_run": True}, found)
        if output is Output.TABLE:
            _show(shown)
        if dry_run or not shown["changed"]:
            _finish(shown, output, dry_run=dry_run)
        if not yes:
            _ask()
        with errors():
            done = _post(reach, body | {"revision": shown["revision"]}, found, secrets.token_hex(16))
        _finish(done, output, dry_run=False)

    return app


def _read(context: Context, files: Path) -> "Pieces":
    try:
        return context.hooks.pieces(files)
    except ValueError as error:
        wrong(str(error).splitlines(), f"{files} can't be applied")


def _post(reach: Reach, body: Mapping[str, Any], found: "Pieces", key: str = "") -> dict[str, Any]:
    if reach.is_local:
        return _make(reach, body, found)
    try:
        answer = reach.api.post("/apply", body, key=key, seconds=_SECONDS)
    except ApiFailed as error:
        if error.problem == "not-loadable":
            wrong([_placed(line, found) for line in error.errors], f"{error}")
        raise
    if not isinstance(answer.get("changes"), list) or not isinstance(answer.get("changed"), bool):
        raise ApiFailed("the API's answer is of another version", "is it the API of a gateway?")
    return answer


def _make(reach: Reach, body: Mapping[str, Any], found: "Pieces") -> dict[str, Any]:
    """On the gateway's host, in its state store, whether or not it runs."""
    from ostiary.control.declarations import NotLoadable, Raced, Stale, told
    from ostiary.control.plan import Refused

    async def work() -> dict[str, Any]:
        async with reach.operations.declarations() as declarations:
            outcome = await declarations.apply(
                this_user().caller,
                [(key, each.document) for key, each in found.declared.items()],
                prune=body["prune"],
                dry_run=body.get("dry_run", False),
                revision=body.get("revision"),
            )
            return told(outcome)

    try:
        return run(work())
    except NotLoadable as error:
        wrong([_placed(line, found) for line in error.problems], "the configuration would not load with it")
    except (Refused, Raced, Stale) as error:
        fail(str(error), "look again", Exit.REFUSED)


def _placed(problem: str, found: "Pieces") -> str:
    """With the place in the files, in front of the resource that it names."""
    for key, each in found.declared.items():
        if problem.startswith(f'{key.kind.value} "{key.name}": '):
            return f"{each.place}: {problem}"
    return problem


def _show(shown: Mapping[str, Any]) -> None:
    """The difference, a line a field."""
    for each in shown["changes"]:
        if each["change"] not in _MARKS:
            continue
        mark, style = _MARKS[each["change"]]
        say((f"{mark} {each['kind']} {each['name']}", style))
        for field in each["differences"] if each["change"] != "delete" else ():
            before, after = _value(field["before"]), _value(field["after"])
            if each["change"] == "create":
                say(f"    {field['field']}: ", (after, "green"))
            else:
                say(f"    {field['field']}: ", (before, "red"), " → ", (after, "green"))
    same = sum(each["change"] == "unchanged" for each in shown["changes"])
    if same:
        say((f"  {same} unchanged", "dim"))


def _value(value: object) -> str:
    text = "(none)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _ask() -> None:
    if not sys.stdin.isatty():
        fail("there is nobody here to ask", "give --yes, or look first with --dry-run", Exit.USAGE)
    if not typer.confirm("Apply this?", err=True):
        fail("nothing was changed")


def _finish(outcome: Mapping[str, Any], output: Output, *, dry_run: bool) -> None:
    if output is not Output.TABLE:
        structured(outcome, output)
    elif not outcome["changed"]:
        say("nothing to change")
    elif not dry_run:
        say(f"applied as revision {outcome['revision']}, in force {outcome['in_force']}")
    raise typer.Exit(Exit.DIFFERS if dry_run and outcome["changed"] else Exit.OK)
