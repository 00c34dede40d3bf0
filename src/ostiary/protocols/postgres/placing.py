"""Where an unqualified `CREATE TABLE t` will make it: the server's own current_schema(), asked directly before.

It can't be followed from here: `search_path` is changed by settings, roles, functions and the end of transactions,
and what it means by schemas and privileges that others change. So the answer is good for one message. The question
goes up in that message's place in the line, inside whatever transaction it will run in.
"""

from collections.abc import Callable
from typing import Final

from ostiary.core import Action
from ostiary.protocols.postgres.framing import message
from ostiary.protocols.postgres.rows import DataRows
from ostiary.protocols.postgres.shapes import SessionShape
from ostiary.protocols.postgres.state import FAILED, Asking, Exchange, Expect, Slot
from ostiary.wire.contract import ProtocolError

QUERY: Final = b"SELECT pg_catalog.current_schema()\0"
_NAME: Final = b"ostiary question\0"
_QUERY: Final = ord("Q")


class Placing:
    """Asks. `take`: what to do with the message once the answer is there."""

    def __init__(self, exchange: Exchange, take: Callable[[int, bytes], None]) -> None:
        self._x = exchange
        self._take = take

    def asks(self, kind: int, frame: bytes, action: Action, action_id: int) -> bool:
        """Whether the message has to wait for the answer. Where it can't be asked, nobody knows."""
        x = self._x
        shape = action.shape
        if x.judge.creation is not None or not isinstance(shape, SessionShape) or not shape.makes:
            return False
        if x.status == FAILED or (kind == _QUERY and not x.quiet):
            # Nothing runs; or a simple query of ours would end the pipeline's transaction.
            return False
        x.asking = asking = Asking(action_id, action, frame, kind)

        def answer(runs: list[bytes]) -> None:
            if x.asking is asking:
                x.asking = None
                x.judge.creation = _schema(runs)
                self._take(kind, frame)
                if kind == _QUERY:
                    x.judge.creation = None

        if kind == _QUERY:
            x.forward(x.permit, message(b"Q", QUERY), Slot(Expect.OWN_QUERY, answer=answer, on_behalf=True))
            x.dirty = False
            return True
        inside(x, QUERY, answer, on_behalf=True)
        return True


def inside(exchange: Exchange, query: bytes, answer: Callable[[list[bytes]], None], *, on_behalf: bool) -> None:
    """Ask within the extended protocol: neither the unnamed statement nor a pipeline's transaction is touched."""
    steps = (
        message(b"P", _NAME + query + b"\0\0"),
        message(b"B", _NAME + _NAME + b"\0\0\0\0\0\0"),
        message(b"E", _NAME + b"\0\0\0\0"),
        message(b"C", b"P" + _NAME),
        message(b"C", b"S" + _NAME),
    )
    for step in steps:
        exchange.forward(exchange.permit, step, Slot(Expect.OWN_STEP, answer=answer, on_behalf=on_behalf))
    exchange.flush()


def _schema(runs: list[bytes]) -> str:
    """Of the answer; "" where there is none, or it is the session's own for temporary objects."""
    try:
        (cell,) = DataRows(b"".join(runs), 1, 1).column(0)
        schema = (cell or b"").decode()
    except (ValueError, ProtocolError):
        return ""
    return "" if schema.startswith("pg_") else schema
