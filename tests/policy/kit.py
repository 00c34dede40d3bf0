"""Short ways to say who does what under which policies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ostiary.core import Access, Action, Operation, Principal, PrincipalKind, Ruling, Shape, Target
from ostiary.policy import CedarPolicy

#: 2026-11-02 was a Monday.
MONDAY_NOON = 1793620800.0
SOURCE = "10.1.2.3:40000"
TARGET = Target("orders", "postgres", "h", 5432, "shop", labels={"environment": "production", "team": "shop"})
Write = Callable[..., CedarPolicy]


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self) -> None:
        self.now = MONDAY_NOON

    def __call__(self) -> float:
        return self.now


def who(
    *groups: str, kind: PrincipalKind = PrincipalKind.WORKLOAD, issuer: str = "local", name: str = "shop"
) -> Principal:
    """A principal of some groups."""
    return Principal(kind, issuer, name, frozenset(groups), 2e9, 2e9, "jti")


def does(*accesses: str, rows: int | None = None, summary: str = "a command", **context: Any) -> Action:
    """`does("read public.customers")`; "connect" alone is on the target. Context as the analyzer gives it."""
    pairs = []
    for access in accesses:
        operation, _, name = access.partition(" ")
        pairs.append(Access(Operation(operation), f"orders/{name}" if name else "orders"))
    known: dict[str, Any] = {"has_where": True, "dynamic": False, "statements": 1, "functions": ()} | context
    return Action(Shape(tuple(pairs), summary, known), "", rows_estimate=rows)


def put(directory: Path, *texts: str) -> None:
    """Replace the policies of a directory: `0.cedar`, `1.cedar` and so on."""
    for old in directory.glob("*.cedar"):
        old.unlink()
    for index, text in enumerate(texts):
        (directory / f"{index}.cedar").write_text(text, "utf-8")


def decide(policy: CedarPolicy, action: Action, principal: Principal | None = None, source: str = SOURCE) -> Ruling:
    """A session's answer."""
    return policy.rights(principal or who("g"), TARGET, source).decide(action)
