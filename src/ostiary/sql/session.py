"""Statements of the session: settings, transactions, channels, and what it forgets by name."""

from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from ostiary.core import Operation
from ostiary.sql.definitions import Handler
from ostiary.sql.model import CloseCursor, Deallocate, Setting
from ostiary.sql.nodes import SESSION, constant, enum, strings_of, unwrap

if TYPE_CHECKING:
    from ostiary.sql.walk import Walk

#: Settings that change who runs.
_ROLES: Final = frozenset({"role", "session_authorization"})
_STARTS: Final = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE"})


def set_config(walk: "Walk", node: Message) -> None:
    """The function that does what SET does."""
    walk.sensitive = True
    name = _told(walk, node.args[0]) if node.args else None
    value = node.args[1] if len(node.args) > 1 else None
    if name is None or value is None or not _plain(value):
        # A computed name may be any setting's; a computed value may carry data that SHOW gives back.
        walk.unknown("set_config()")
        return
    _setting(walk, name, constant(value) or "")


def _told(walk: "Walk", node: Message) -> str | None:
    """A constant, or a column that the query around it says to be one."""
    inner = unwrap(node)
    if inner is not None and inner.DESCRIPTOR.name == "ColumnRef":
        return walk.known.get(tuple(strings_of(inner.fields)))
    return constant(node)


def _plain(value: Message) -> bool:
    """A constant or a parameter, through casts."""
    inner = unwrap(value)
    while inner is not None and inner.DESCRIPTOR.name == "TypeCast":
        inner = unwrap(inner.arg)
    return inner is not None and inner.DESCRIPTOR.name in ("A_Const", "ParamRef")


def _set(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.sensitive = True
    kind = enum(node, "kind")
    if kind == "VAR_SET_MULTI":
        walk.other(Operation.SESSION, "session", "transaction")
    elif kind == "VAR_RESET_ALL":
        walk.other(Operation.SESSION, "setting", "*")
        walk.effects.append(Setting("*", None))
    else:
        default = kind in ("VAR_RESET", "VAR_SET_DEFAULT")
        told = ",".join(constant(arg) or "" for arg in node.args)
        _setting(walk, node.name, None if default else told)


def _setting(walk: "Walk", name: str, value: str | None) -> None:
    name = name.lower()
    walk.effects.append(Setting(name, value))
    if name in _ROLES and value not in (None, "none"):
        walk.other(Operation.ADMIN, "role", value or "?")
    else:
        walk.other(Operation.SESSION, "setting", name)


def _show(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.other(Operation.SESSION, "setting", node.name.lower())


def _transaction(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.other(Operation.SESSION, "session", "transaction")
    if enum(node, "kind") not in _STARTS:
        walk.ends_transaction()


def _session(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    kind = node.DESCRIPTOR.name
    walk.other(Operation.SESSION, "session", SESSION[kind])
    if kind == "ClosePortalStmt":
        walk.effects.append(CloseCursor(node.portalname or None))
    elif kind == "DeallocateStmt":
        walk.effects.append(Deallocate(node.name or None))
    elif kind == "DiscardStmt":
        walk.effects += (Deallocate(None), CloseCursor(None), Setting("*", None))
    walk.descend(node, scope, ("constraints",))


def _listen(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.other(Operation.CONSUME, "channel", node.conditionname)


def _notify(walk: "Walk", node: Message, scope: frozenset[str]) -> None:
    del scope
    walk.other(Operation.PUBLISH, "channel", node.conditionname)


HANDLERS: Final[dict[str, Handler]] = {
    "VariableSetStmt": _set,
    "VariableShowStmt": _show,
    "TransactionStmt": _transaction,
    "ListenStmt": _listen,
    "NotifyStmt": _notify,
    **dict.fromkeys(SESSION, _session),
}
