"""`ostiary targets list|show|test`."""

from typing import Annotated

import typer

from ostiary.cli import complete
from ostiary.cli.common import Context, errors
from ostiary.cli.output import Exit, Output, OutputOption, fail, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import inventory as remote

NameArgument = Annotated[str, typer.Argument(autocompletion=complete.targets, help="The target's name.")]


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback()
    def about() -> None:
        """What can be reached."""

    @group.command("list")
    @reaching(context)
    def list_targets(reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Declared targets."""
        found = reach.pick(lambda it: it.list_targets(), remote.list_targets)
        if output is not Output.TABLE:
            structured(found, output)
            return
        rows = [(t.name, t.protocol, t.address, t.database, t.tls, t.credential) for t in found]
        table(
            ("NAME", "PROTOCOL", "ADDRESS", "DATABASE", "TLS", "CREDENTIAL"),
            rows,
            "no target is declared",
            dropped=("PROTOCOL",),
        )

    @group.command()
    @reaching(context)
    def show(name: NameArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """One target."""
        found = reach.pick(
            lambda it: next((each for each in it.list_targets() if each.name == name), None),
            lambda api: remote.show_target(api, name),
        )
        if found is None:
            fail(f'no target "{name}" is declared', "`ostiary targets list` shows them", Exit.NOT_FOUND)
        if output is not Output.TABLE:
            structured(found, output)
            return
        facts = {
            "name": found.name,
            "protocol": found.protocol,
            "address": found.address,
            "database": found.database,
            "tls": found.tls,
            "credential": found.credential,
            "labels": ", ".join(f"{label}={value}" for label, value in found.labels.items()),
        }
        for fact, value in facts.items():
            if value:
                say(f"  {fact:11} {value}")

    @group.command("test")
    @reaching(context, local=False)
    def try_out(name: NameArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Let the gateway dial it, encrypt, lend a credential, log in, take it back. Exit code 1 when a step fails."""
        with errors():
            found = remote.test_target(reach.api, name)
        if output is not Output.TABLE:
            structured(found, output)
        for step in found.steps if output is Output.TABLE else ():
            mark, style = ("ok", "green") if step.ok else ("FAILED", "bold red")
            say((f"{mark:6}", style), f"  {step.name:10}  {step.seconds * 1000:7.1f} ms  {step.detail}")
        if not found.ok:
            raise typer.Exit(Exit.FAILED)

    return group
