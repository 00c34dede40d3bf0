"""A clock that is told, and held actions to ask about."""

from dataclasses import replace

from ostiary.approvals import ApprovalGroup
from ostiary.core import Access, Action, Operation, Parameter, Principal, PrincipalKind, Shape, Target
from ostiary.gate.ports import HoldRequest

NOW = 1_800_000_000.0
GROUPS = {
    "dba": ApprovalGroup(groups=frozenset({"dba"}), timeout=600.0),
    "security": ApprovalGroup(principals=frozenset({"corp:sam"}), timeout=300.0),
    "pair": ApprovalGroup(groups=frozenset({"dba"}), required=2, timeout=600.0),
}


class Clock:
    """Unix seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def human(name: str, *groups: str) -> Principal:
    """A person of issuer `corp`."""
    return Principal(PrincipalKind.HUMAN, "corp", name, frozenset(groups), NOW + 9e4, NOW + 9e4, f"jti-{name}")


JOB = Principal(PrincipalKind.WORKLOAD, "ci", "shop", frozenset({"dba"}), NOW + 9e4, NOW + 9e4, "jti-job")
DANA, DREW, SAM, EVE = human("dana", "dba"), human("drew", "dba"), human("sam"), human("eve", "sales")
TARGET = Target("orders", "postgres", "db.internal", 5432, "shop")
ACTION = Action(
    Shape((Access(Operation.DELETE, "orders/public.orders"),), "DELETE without WHERE on public.orders"),
    "DELETE FROM orders WHERE id > $1",
    (Parameter(b"7", type="23"),),
    rows_estimate=1200,
)
HELD = HoldRequest("s-1", 5, JOB, TARGET, ACTION, ("7",), ("dba",), ("hold-deletes",), "deletes need a second pair")


def held(session: str = "s-1", groups: tuple[str, ...] = ("dba",)) -> HoldRequest:
    """`HELD` in another session, or by other groups."""
    return replace(HELD, session_id=session, groups=groups)
