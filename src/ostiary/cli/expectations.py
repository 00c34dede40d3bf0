"""`ostiary policy test`: rulings that are expected of the policies, kept in a file beside them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
import yaml
from rich.progress import track

from ostiary.cli.common import Context, errors
from ostiary.cli.explained import plain
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import inventory as remote
from ostiary.client.api import Api
from ostiary.control import Operations
from ostiary.core import Operation
from ostiary.policy import PolicyError

_MAX_FILE: Final = 1 << 20
_MAX_CASES: Final = 1000


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One expectation: `sql`, or `operation` and `object`."""

    principal: str
    target: str
    expect: Literal["allow", "deny", "hold", "weigh"]
    name: str = ""
    kind: Literal["workload", "human"] = "workload"
    groups: tuple[str, ...] = ()
    sql: str | None = None
    operation: Operation | None = None
    object: str = ""
    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    #: Those that must have decided; None: any.
    rules: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.sql is None) == (self.operation is None):
            raise ValueError("give `sql`, or `operation` with `object`")

    @property
    def title(self) -> str:
        """For people."""
        what = self.sql if self.operation is None else f"{self.operation} {self.object or self.target}"
        return self.name or f"{self.principal}: {what}"


class Cases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    tests: Annotated[tuple[Case, ...], msgspec.Meta(min_length=1, max_length=_MAX_CASES)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one."""

    name: str
    passed: bool
    expected: str
    got: str
    expected_rules: tuple[str, ...] | None
    rules: tuple[str, ...]
    reason: str


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context)
    def test(
        reach: Reach,
        file: Annotated[Path, typer.Argument(help="YAML with `tests:`.")],
        policies: Annotated[
            Path | None, typer.Option(help="With -c: file or directory of policies in place of the configuration's.")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Hold policies against a list of expected rulings. Exit code 1 when one is not as expected."""
        cases = _read(file)
        if policies is not None and not reach.is_local:
            fail("a gateway tells of the policies in force", "test others with -c and --policies", Exit.USAGE)
        with errors():
            ask = reach.pick(lambda it: _local(it, policies), _remote)
            shown = track(cases, "testing", console=err, transient=True, disable=not err.is_terminal)
            found = [_outcome(case, ask(case)) for case in shown]
        failed = [each for each in found if not each.passed]
        if output is not Output.TABLE:
            structured(found, output)
        else:
            for each in failed:
                _show(each)
            rows = [("ok" if each.passed else "FAILED", each.name, each.got, each.rules) for each in found]
            table(("", "EXPECTATION", "RULING", "RULES"), rows, "", folded=("EXPECTATION", "RULES"))
            say(f"{len(found)} expectations: {len(found) - len(failed)} met, {len(failed)} not")
        if failed:
            raise typer.Exit(Exit.FAILED)

    return test


def _read(path: Path) -> tuple[Case, ...]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
        if len(text) > _MAX_FILE:
            raise ValueError(f"larger than {_MAX_FILE} bytes")
        return msgspec.convert(yaml.safe_load(text), Cases).tests
    except OSError as error:
        fail(f"{path}: {error.strerror}", "name a file of expectations", Exit.USAGE)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        fail(f"{path}: not YAML", code=Exit.USAGE)
    except ValueError as error:
        fail(f"{path}: {error}", "docs/policy.md has an example", Exit.USAGE)


Ask = Callable[[Case], Mapping[str, Any]]


def _local(operations: Operations, policies: Path | None) -> Ask:
    asked = operations if policies is None else replace(operations, policies=policies)
    explaining = asked.explaining()

    def ask(case: Case) -> Mapping[str, Any]:
        where = operations.targets.get(case.target)
        if where is None:
            fail(
                f'{case.title}: no target "{case.target}"',
                f"declared: {', '.join(sorted(operations.targets))}",
                Exit.NOT_FOUND,
            )
        try:
            who = operations.principal(case.principal, case.groups, case.kind)
            if case.sql is not None:
                return plain(explaining.sql(who, where, case.sql, case.rows))
            assert case.operation is not None
            return plain(explaining.access(who, where, case.operation, case.object, case.rows))
        except PolicyError:
            raise
        except ValueError as error:
            fail(f"{case.title}: {error}", code=Exit.USAGE)

    return ask


def _remote(api: Api) -> Ask:
    return lambda case: remote.explain(
        api,
        {name: value for name, value in msgspec.to_builtins(case).items() if name not in {"name", "expect", "rules"}},
    )


def _outcome(case: Case, found: Mapping[str, Any]) -> Outcome:
    rules = tuple(found["rules"])
    fits = found["verdict"] == case.expect and (case.rules is None or set(case.rules) == set(rules))
    return Outcome(case.title, fits, case.expect, found["verdict"], case.rules, rules, found["reason"])


def _show(each: Outcome) -> None:
    """The difference."""
    say(("FAILED", "red"), f" {each.name}")
    wanted = "" if each.expected_rules is None else f" by {', '.join(each.expected_rules) or 'no rule'}"
    say(("  - ", "green"), f"{each.expected}{wanted}")
    say(
        ("  + ", "red"),
        f"{each.got} by {', '.join(each.rules) or 'no rule'}{': ' + each.reason if each.reason else ''}",
    )
