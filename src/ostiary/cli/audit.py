"""`ostiary audit verify`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ostiary.cli.common import ConfigOption, Context, errors
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured
from ostiary.recording import State, Verdict

_STYLE = {State.TAMPERED: "bold red", State.UNREADABLE: "red", State.UNSEALED: "yellow"}


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def about() -> None:
        """Is the log whole?"""

    @group.command()
    def verify(
        config: ConfigOption = None,
        key: Annotated[
            list[Path] | None,
            typer.Option("--key", help="Public key to believe, or directory of them; repeatable (default: our own)."),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Check every recording: any changed, missing, reordered or truncated record is found. Exit code 5 then."""
        with errors():
            operations = context.operations(config)
            if not operations.recordings.exists():
                fail(f"{operations.recordings}: nothing was recorded there yet", "the gateway makes it when it starts")
            keys, believed = operations.trusted_keys(key or ())
            with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
                task = progress.add_task("verifying", total=None)
                verdicts = list(
                    operations.verify(keys, lambda done, total: progress.update(task, completed=done, total=total))
                )
        bad = [v for v in verdicts if v.state in (State.TAMPERED, State.UNREADABLE)]
        if output is not Output.TABLE:
            structured(verdicts, output)
        else:
            for verdict in verdicts:
                if verdict.state in _STYLE:
                    _show(verdict)
            counts = ", ".join(f"{n} {s.value}" for s in State if (n := sum(v.state is s for v in verdicts)))
            say(f"{len(verdicts)} files: {counts or 'nothing was recorded'}; believed: {believed}")
        if bad:
            raise typer.Exit(Exit.TAMPERED)

    return group


def _show(verdict: Verdict) -> None:
    say((verdict.state.value, _STYLE[verdict.state]), f" {verdict.path}")
    for finding in verdict.findings:
        say(f"    {finding.message}")
