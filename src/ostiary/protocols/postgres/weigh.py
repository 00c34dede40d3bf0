"""How many rows a held statement would touch, by the planner's own estimate, asked as the very role that would run it.

The question goes up in the statement's place in the line, so it plans what would run. When it fails, the statement
would have failed too (it plans the same text with the same values): the client gets that error and nobody is asked.
"""

import json
import re

from ostiary.core import Operation
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.rows import DataRows
from ostiary.protocols.postgres.state import Asking, Exchange, Expect, Slot
from ostiary.wire.contract import Effect, ProtocolError, Weighed

_NAME = b"ostiary estimate\0"
_PREFIX = "EXPLAIN (FORMAT JSON) "
#: Statements that EXPLAIN takes. The text was parsed before, so its first word tells.
_PLANNED = re.compile(
    r"(?:\s|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/|\()*(select|insert|update|delete|merge|with|values)\b", re.I
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
        x.forward(x.permit, message(b"C", b"S" + _NAME), Slot(Expect.OWN_STEP, on_behalf=True))
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
        shape.context.get("statements") == 1
        and not shape.context.get("dynamic")
        and all(access.operation in _PLAIN for access in shape.accesses)
        and _PLANNED.match(asking.action.text) is not None
    )


def _rows(runs: list[bytes]) -> int | None:
    """Rows of the plan: of what is changed where something is, else of the result. None when it can't be read."""
    try:
        cells = [cell or b"" for run in runs for cell in DataRows(run, 0, 1).column(0)]
        plan = json.loads(b"\n".join(cells))[0]["Plan"]
        if plan["Node Type"] == "ModifyTable" and plan.get("Plans"):
            plan = plan["Plans"][0]
        return int(plan["Plan Rows"])
    except (ValueError, KeyError, IndexError, TypeError, ProtocolError):
        return None
