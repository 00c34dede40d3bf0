"""A policy set as it was read: each rule with its place in a file, and the whole ready to be asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Literal

from cedarpy import PolicySet, pst

from ostiary.core import Operation, naming

UNMASK = "unmask"
DECLASSIFY = "declassify"


class ControlAction(StrEnum):
    """What is done with a gateway apart from sending traffic through it; names are Cedar actions."""

    #: See what is declared, and that sessions are there.
    VIEW = "view"
    #: Change something: end a session.
    ADMINISTER = "administer"
    #: Decide a request for approval, as a member of the group that is asked.
    APPROVE = "approve"
    #: Read what was recorded.
    AUDIT = "audit"


ACTIONS: tuple[str, ...] = (*(operation.value for operation in Operation), UNMASK, DECLASSIFY, *ControlAction)
#: Never covered by a permit for every action: its head must name them.
BY_NAME = frozenset({Operation.UNKNOWN.value, UNMASK, DECLASSIFY, *ControlAction})


@dataclass(frozen=True, slots=True)
class Rule:
    """One `permit` or `forbid`."""

    #: `@id`, or "file:index" (from 1).
    name: str
    effect: Literal["permit", "forbid"]
    file: str
    line: int
    #: As written, without what precedes it.
    text: str
    node: pst.Template = field(repr=False)
    #: Names in the head's `action ==` or `action in`; None: any action.
    actions: frozenset[str] | None
    #: What it looks at of the context: "time.hour", "source"; "": the whole.
    context: frozenset[str]

    @property
    def annotations(self) -> Mapping[str, str]:
        """All annotations, `@id` included."""
        return self.node.annotations

    @property
    def approval(self) -> str | None:
        """Group whose member lifts this forbid for one exact action."""
        return self.node.annotations.get("approval")

    @property
    def reason(self) -> str:
        """`@reason`, or ""."""
        return self.node.annotations.get("reason", "")

    @property
    def estimates(self) -> bool:
        """Does it look at the target's estimate of rows?"""
        return not self.context.isdisjoint(("", "rows_estimate"))

    def covers(self, action: str) -> bool:
        """Does the head admit this action?"""
        return self.actions is None or action in self.actions


@dataclass(frozen=True, slots=True)
class ActionRules:
    """The rules whose head admits one action, parsed."""

    all: PolicySet
    permits: PolicySet
    #: Heads of the rules that look at the estimate of rows, as permits without conditions. None: there are none.
    estimates: PolicySet | None
    #: target → schemas its forbids name: what an unresolved `?.x` is tried against.
    outsides: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Every rule of a directory, validated."""

    rules: Mapping[str, Rule]
    by_action: Mapping[str, ActionRules]
    #: Does any rule look at the client's address? It is part of a memo's key then.
    mentions_source: bool
    #: "never": no rule looks at the clock; "minute": the same answer all through a minute; "instant": neither.
    clock: Literal["never", "minute", "instant"]


def compile_rules(rules: list[Rule]) -> RuleSet:
    """Make rules ready to be asked. Names must be unique."""
    paths = {path for rule in rules for path in rule.context}
    whole = "" in paths
    if whole or paths & {"time", "time.unix"}:
        clock: Literal["never", "minute", "instant"] = "instant"
    else:
        clock = "minute" if any(path.startswith("time.") for path in paths) else "never"
    return RuleSet(
        rules={rule.name: rule for rule in rules},
        by_action={action: _for_action([r for r in rules if r.covers(action)]) for action in ACTIONS},
        mentions_source=whole or "source" in paths,
        clock=clock,
    )


def _for_action(rules: list[Rule]) -> ActionRules:
    outsides: dict[str, dict[str, None]] = {}
    for rule in rules:
        if rule.effect == "forbid":
            for name in object_names(rule.node):
                target, _, rest = name.partition("/")
                outsides.setdefault(target, {})[naming.lineage(rest)[0]] = None
    estimates = [
        replace(rule, node=replace(rule.node, effect="permit", clauses=())) for rule in rules if rule.estimates
    ]
    return ActionRules(
        all=_parsed(rules),
        estimates=_parsed(estimates) if estimates else None,
        permits=_parsed([rule for rule in rules if rule.effect == "permit"]),
        outsides={target: tuple(schemas) for target, schemas in outsides.items()},
    )


def _parsed(rules: list[Rule]) -> PolicySet:
    named = {rule.name: replace(rule.node, id=rule.name) for rule in rules}
    return PolicySet.from_pst(pst.PolicySet(templates={}, static_policies=named, template_links=()))


def object_names(node: pst.Template) -> list[str]:
    """Ids of the `Object`s a rule names."""
    return sorted(uid.id for uid in pst.entity_uids(node) if uid.type.basename == "Object")


def context_paths(node: object) -> Iterator[str]:
    """Every use of the context: "time.hour", "source"; "" when it is used as a whole."""
    path = _path(node)
    if path is not None:
        yield path
        return
    match node:
        case pst.HasAttr(base=base, attrs=attrs) if (start := _path(base)) is not None:
            yield f"{start}.{attrs[0]}".removeprefix(".")
        case tuple():
            for each in node:
                yield from context_paths(each)
        case Mapping():
            for each in node.values():
                yield from context_paths(each)
        case _ if is_dataclass(node):
            for each in fields(node):
                yield from context_paths(getattr(node, each.name))
        case _:
            return


def _path(node: object) -> str | None:
    match node:
        case pst.Var(name="context"):
            return ""
        case pst.GetAttr(base=base, attr=attr) if (start := _path(base)) is not None:
            return f"{start}.{attr}".removeprefix(".")
        case _:
            return None
