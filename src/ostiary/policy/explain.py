"""What `ostiary policy check` and `ostiary policy explain` show, without a word about how it is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ostiary.core import Access, Action, Operation, Principal, Ruling, Shape, Target
from ostiary.policy.cedar import CedarPolicy, ruling_of
from ostiary.policy.judge import Finding
from ostiary.policy.load import PolicyError, Problem, load
from ostiary.policy.rules import UNMASK, Rule


@dataclass(frozen=True, slots=True)
class Explanation:
    """A ruling and where it comes from. A finding holds the rules that fired, each with its file, line and text."""

    ruling: Ruling
    findings: tuple[Finding, ...]


def check(
    path: Path, approval_groups: frozenset[str] | None = None, stored: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """What is wrong with a directory of policies, or one file; nothing is in force afterwards that was not before.

    Args:
        path: directory or file.
        approval_groups: groups the configuration knows; given, an `@approval` by any other is a problem.
        stored: further rules: `@id` → text.
    """
    try:
        rules = load(path, stored).rules.values()
    except PolicyError as error:
        return error.problems
    if approval_groups is None:
        return ()
    return tuple(
        Problem(rule.file, rule.line, f'@approval("{rule.approval}"): no such group under `approvals`')
        for rule in rules
        if rule.approval is not None and rule.approval not in approval_groups
    )


def rules_of(path: Path) -> tuple[Rule, ...]:
    """The rules of a directory, or of one file. Raises PolicyError."""
    return tuple(load(path).rules.values())


def explain(
    policy: CedarPolicy, principal: Principal, target: Target, action: Action, now: float, source: str = ""
) -> Explanation:
    """How policy rules on a command, by access. `now`: Unix seconds; `source`: "ip:port". Raises as `decide`."""
    findings = policy.judge(principal, target, source).action(action, now)
    return Explanation(ruling_of(findings, action.shape.summary, policy.version), tuple(findings))


def explain_unmask(
    policy: CedarPolicy, principal: Principal, target: Target, data_class: str, now: float, source: str = ""
) -> Explanation:
    """How policy rules on seeing a data class unmasked."""
    finding = policy.judge(principal, target, source).of_class(UNMASK, data_class, now)
    return Explanation(ruling_of([finding], f"unmask {data_class}", policy.version), (finding,))


def single_access(target: Target, operation: Operation, name: str, rows: int | None = None) -> Action:
    """`--operation read --object public.customers` as a command; name "" is the target itself."""
    resource = f"{target.name}/{name}" if name else target.name
    context = {"has_where": True, "dynamic": False}
    shape = Shape((Access(operation, resource),), f"{operation.value} on {name or target.name}", context)
    return Action(shape, "", rows_estimate=rows)
