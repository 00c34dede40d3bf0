"""`ostiary audit verify|search|export`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ostiary.cli import search
from ostiary.cli.common import Context, errors
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import audit as remote
from ostiary.client.api import Api
from ostiary.control import Operations
from ostiary.recording import State, TrustedKeys, Verdict, verify

_STYLE = {State.TAMPERED: "bold red", State.UNREADABLE: "red", State.UNSEALED: "yellow"}


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def about() -> None:
        """Is the log whole?"""

    @group.command("verify")
    @reaching(context)
    def verify_all(
        reach: Reach,
        files: Annotated[
            list[Path] | None, typer.Argument(metavar="[FILE]…", help="Exported recordings; --key says whose.")
        ] = None,
        key: Annotated[
            list[Path] | None,
            typer.Option("--key", help="Public key to believe, or directory of them; repeatable (default: our own)."),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Check every recording: any changed, missing, reordered or truncated record is found. Exit code 5 then."""
        if files:
            with errors():
                verdicts, states, believed = _exported(files, key or ())
        elif key and not reach.is_local:
            fail("a gateway believes its own key", "verify the files themselves with -c and --key", Exit.USAGE)
        else:
            verdicts, states, believed = reach.pick(lambda it: _verified(it, key or ()), _asked)
        bad = [v for v in verdicts if v.state in (State.TAMPERED, State.UNREADABLE)]
        if output is not Output.TABLE:
            structured(verdicts, output)
        else:
            for verdict in verdicts:
                if verdict.state in _STYLE:
                    _show(verdict)
            counts = ", ".join(f"{states[state]} {state.value}" for state in State if states.get(state))
            say(f"{sum(states.values())} files: {counts or 'nothing was recorded'}; believed: {believed}")
        if bad:
            raise typer.Exit(Exit.TAMPERED)

    find, export = search.build(context)
    group.command("search")(find)
    group.command("export")(export)
    return group


def _verified(operations: Operations, given: Sequence[Path]) -> tuple[list[Verdict], Mapping[str, int], str]:
    """Every file, how many there are of each state, and whom they are believed by."""
    if not operations.recordings.exists():
        fail(f"{operations.recordings}: nothing was recorded there yet", "the gateway makes it when it starts")
    keys, believed = operations.trusted_keys(given)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("verifying", total=None)
        verdicts = list(operations.verify(keys, lambda done, total: progress.update(task, completed=done, total=total)))
    return verdicts, Counter(verdict.state for verdict in verdicts), believed


def _exported(files: Sequence[Path], given: Sequence[Path]) -> tuple[list[Verdict], Mapping[str, int], str]:
    """Files that stand alone: that one of them is missing can't be seen."""
    if not given:
        fail("whose signatures are to be believed?", "name the gateway's public key with --key", Exit.USAGE)
    keys = TrustedKeys.load(*given)
    verdicts = [verify(file, keys) for file in files]
    return verdicts, Counter(verdict.state for verdict in verdicts), ", ".join(map(str, given))


def _asked(api: Api) -> tuple[list[Verdict], Mapping[str, int], str]:
    """As the gateway finds it: only what is bad comes one by one."""
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task("the gateway verifies", total=None)
        return *remote.verify(api), "the gateway's own key"


def _show(verdict: Verdict) -> None:
    say((verdict.state.value, _STYLE[verdict.state]), f" {verdict.path}")
    for finding in verdict.findings:
        say(f"    {finding.message}")
