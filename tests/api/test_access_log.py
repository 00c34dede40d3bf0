"""What is bound to the lines that are logged while a request is answered."""

import pytest
from starlette.types import Receive, Scope, Send
from structlog.contextvars import get_contextvars

from ostiary.api.access_log import AccessLog

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01".encode()


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        ([PARENT], TRACE),
        ([], None),
        ([PARENT, PARENT], None),
        ([PARENT.upper()], None),
        ([b"01" + PARENT[2:]], None),
        ([PARENT + b"-more"], None),
        ([b"00-" + b"0" * 32 + PARENT[35:]], None),
        ([b"\xff" * 55], None),
        ([b""], None),
    ],
)
async def test_the_caller_s_trace(sent: list[bytes], trace: str | None) -> None:
    """Its id, where it was sent once and in the exact form; whatever else is sent is in no line."""
    bound: dict[str, str] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bound.update(get_contextvars())

    async def nothing(*_: object) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"traceparent", each) for each in sent]}
    await AccessLog(app, "/api/v1", None)(scope, nothing, nothing)  # type: ignore[arg-type]  # neither is used
    assert bound.pop("request_id") == scope["request_id"]
    assert bound == ({} if trace is None else {"trace_id": trace})
    assert get_contextvars() == {}
