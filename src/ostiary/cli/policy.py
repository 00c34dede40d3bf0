"""`ostiary policy check|test|explain|simulate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ostiary.cli import expectations, simulate
from ostiary.cli.common import ConfigOption, Context, errors, verdict
from ostiary.cli.explained import plain, show
from ostiary.cli.output import Exit, Output, OutputOption, fail, structured
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import inventory as remote
from ostiary.control import Operations
from ostiary.core import Operation, PrincipalKind, Verdict
from ostiary.policy import PolicyError


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)

    @group.command()
    def check(
        path: Annotated[
            Path | None, typer.Argument(help="File or directory (default: those of the configuration).")
        ] = None,
        config: ConfigOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Validate policies against the schema."""
        with errors():
            problems = list(map(str, context.operations(config).check_policy(path)))
        bad = "the policies can't be used; a running gateway keeps those it has"
        verdict(problems, "policies are fine", bad, output)

    @group.command()
    @reaching(context)
    def explain(
        reach: Reach,
        target: Annotated[str, typer.Option(help="Name of the target.")],
        principal: Annotated[str, typer.Option(help="issuer:subject.")],
        group_names: Annotated[
            list[str] | None, typer.Option("--group", help="A group of the principal; repeatable.")
        ] = None,
        sql: Annotated[
            str | None, typer.Option(help="A statement. No server is asked: write public.orders, not orders.")
        ] = None,
        operation: Annotated[Operation | None, typer.Option(help="Or one operation …")] = None,
        name: Annotated[str, typer.Option("--object", help="… on one object: public.customers.")] = "",
        rows: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="The target's estimate of rows.")] = None,
        kind: Annotated[PrincipalKind, typer.Option(help="What the principal is.")] = PrincipalKind.WORKLOAD,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Which rules fire, and why. Exit code 3 unless it is allowed."""
        if (sql is None) == (operation is None):
            fail("say what to explain", "give either --sql, or --operation and --object", Exit.USAGE)

        def local(operations: Operations) -> dict[str, Any]:
            where = operations.targets.get(target)
            if where is None:
                fail(f'no target "{target}"', f"declared: {', '.join(sorted(operations.targets))}", Exit.NOT_FOUND)
            try:
                who = operations.principal(principal, group_names or [], kind.value)
                if sql is not None:
                    return plain(operations.explain_sql(who, where, sql, rows))
                assert operation is not None
                return plain(operations.explain_access(who, where, operation, name, rows))
            except PolicyError:
                raise
            except ValueError as error:
                fail(str(error), code=Exit.USAGE)

        question = {
            "principal": principal,
            "groups": group_names or [],
            "kind": kind.value,
            "target": target,
            "sql": sql,
            "operation": operation.value if operation is not None else None,
            "object": name,
            "rows": rows,
        }
        found = reach.pick(local, lambda api: remote.explain(api, question))
        if output is Output.TABLE:
            show(found)
        else:
            structured(found, output)
        if found["verdict"] != Verdict.ALLOW:
            raise typer.Exit(Exit.REFUSED)

    for each in (expectations, simulate):
        group.command()(each.build(context))
    return group
