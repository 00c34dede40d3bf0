"""How many rows a statement would touch, by the planner's own estimate, asked as the very role that would run it.

Policy asks where a rule looks at it, and so does whoever is to approve a statement. Rows are those that are changed,
wherever in the statement (also in a WITH), or those of the result where that is more: what the statement reads on the
way to them, and what triggers and foreign keys do after them, is not counted.

The question goes up in the statement's place in the line, so it plans what would run. When it fails, the statement
would have failed too (it plans the same text with the same values): the client gets that error and nobody is asked.
"""

import json
import re
from typing import Any

from ostiary.core import Operation
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.rows import DataRows
from ostiary.protocols.postgres.state import Asking, Exchange, Expect, Slot
from ostiary.wire.contract import Effect, ProtocolError, Weighed

_NAME = b"ostiary estimate\0"
_PREFIX = "EXPLAIN (FORMAT JSON) "
#: Statements that EXPLAIN takes. The text was parsed before, so its first word tells.
_PLANNED = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/|\()*(select|insert|update|delete|merge|with|values|table)\b", re.I
)
#: Planning evaluates functions that the target calls stable or immutable: with any other operation nothing is asked.
_PLAIN = {Operation.READ, Operation.INSERT, Operation.UPDATE, Operation.DELETE}


class Weighing:
    """See the module."""

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange

    def begin(self, action_id: int) -> None:
        """Ask the target, or answer at once that there is no estimate."""
        x = self._x
        asking = x.asking
        if asking is None or asking.action_id != action_id:
            return
        if not _plannable(asking):
            x.effects.append(Weighed(action_id, None))
        elif asking.kind == ord("Q"):
            text = _PREFIX.encode() + asking.frame[5:]
            x.forward(x.permit, message(b"Q", text), self._slot(Expect.OWN_QUERY, action_id))
            x.dirty = False
        else:
            self._extended(asking, action_id)

    def _extended(self, asking: Asking, action_id: int) -> None:
        x = self._x
        prepared = asking.prepared
        assert prepared is not None
        alone = x.quiet
        text = (_PREFIX + prepared.text).encode()
        bind = asking.frame[asking.frame.index(b"\0", asking.frame.index(b"\0", 5) + 1) + 1 :]
        # The client's result formats are of another result: the estimate comes as text.
        values = bind[: len(bind) - 2 - 2 * len(asking.formats)]
        steps = (
            message(b"P", _NAME + text + b"\0" + prepared.types),
            message(b"B", _NAME + _NAME + values + b"\0\0"),
            message(b"E", _NAME + b"\0\0\0\0"),
        )
        for step in steps:
            x.forward(x.permit, step, self._slot(Expect.OWN_STEP, action_id))
        # A portal outlives its statement until the transaction ends, and the next estimate needs the name.
        for what in (b"P", b"S"):
            x.forward(x.permit, message(b"C", what + _NAME), Slot(Expect.OWN_STEP, on_behalf=True))
        if alone:
            x.forward(x.permit, message(b"S", b""), Slot(Expect.OWN_SYNC))
            x.dirty = x.unflushed = False
        else:
            x.flush()

    def _slot(self, expect: Expect, action_id: int) -> Slot:
        def answer(runs: list[bytes]) -> None:
            if self._x.asking is not None and self._x.asking.action_id == action_id:
                effect: Effect = Weighed(action_id, _rows(runs))
                self._x.effects.append(effect)

        return Slot(expect, answer=answer, on_behalf=True)


def _plannable(asking: Asking) -> bool:
    shape = asking.action.shape
    return (
        asking.kind != ord("E")
        and shape.context.get("statements") == 1
        and not shape.context.get("dynamic")
        and all(access.operation in _PLAIN for access in shape.accesses)
        and _PLANNED.match(asking.action.text) is not None
    )


def _rows(runs: list[bytes]) -> int | None:
    """Rows that the plans change, or those of their results where that is more. None when it can't be read."""
    try:
        cells = [cell or b"" for run in runs for cell in DataRows(run, 0, 1).column(0)]
        # A view's or a table's rules may make several plans of one statement, or none.
        plans = [each["Plan"] for each in json.loads(b"\n".join(cells))]
        if not plans:
            return None
        return max(sum(int(plan["Plan Rows"]) for plan in plans), sum(map(_changed, plans)))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ProtocolError):
        return None


def _changed(plan: dict[str, Any]) -> int:
    """Rows that a plan changes: those that its ModifyTable nodes, wherever they stand, are fed with."""
    below: list[dict[str, Any]] = plan.get("Plans", [])
    changed = sum(map(_changed, below))
    if plan["Node Type"] == "ModifyTable":
        # "Member": a partition's own plan, before PostgreSQL 14. The rest are sub-queries beside the one that feeds it.
        changed += sum(int(each["Plan Rows"]) for each in below if each["Parent Relationship"] in ("Outer", "Member"))
    return changed
