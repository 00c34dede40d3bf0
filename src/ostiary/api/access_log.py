"""Each request in a line of the log and in a number: what was asked for by its template, never the address itself."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostiary.core.trace import traceparent

log = structlog.get_logger()

#: What asks every few seconds is told at debug.
_ROUTINE: Final = frozenset({"/healthz", "/metrics", "/readyz"})
#: Told as they are.
METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


@dataclass(frozen=True, slots=True)
class Served:
    """A request that is over."""

    #: One of METHODS, or "other".
    method: str
    #: Template of its route, "/api/v1/sessions/{session_id}"; "" where none was found.
    route: str
    #: 0 when the client went away before there was one.
    status: int
    seconds: float


class AccessLog:
    """Around the guard. What is logged while a request is answered has its id, and that of the caller's trace.

    Args:
        app: what answers.
        prefix: of the routes that are versioned.
        served: is told of each request.
    """

    def __init__(self, app: ASGIApp, prefix: str, served: Callable[[Served], None] | None) -> None:
        self._app = app
        self._prefix = prefix
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        began = time.perf_counter()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope["request_id"] = secrets.token_hex(8)
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"], **_trace(scope)):
            try:
                await self._app(scope, receive, sent)
            finally:
                if scope["type"] == "http":
                    self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        template = route.path if isinstance(route, APIRoute) else ""
        if template and scope["path"].startswith(f"{self._prefix}/"):
            # A router that is included tells its own part.
            template = f"{self._prefix}{template.removeprefix(self._prefix)}"
        method = scope["method"] if scope["method"] in METHODS else "other"
        level = logging.DEBUG if scope["path"] in _ROUTINE else logging.INFO
        by, ms = scope.get("state", {}).get("caller", ""), round(seconds * 1000, 2)
        log.log(level, "api: served", method=method, route=template, status=status, ms=ms, by=by)
        if self._served is not None:
            self._served(Served(method, template, status, seconds))


def _trace(scope: Scope) -> dict[str, str]:
    """The id of the trace that the caller says it belongs to; nothing where that is not said once and exactly."""
    said = [value for name, value in scope.get("headers", ()) if name == b"traceparent"]
    parent = traceparent(said[0].decode("latin-1")) if len(said) == 1 else ""
    return {"trace_id": parent.split("-")[1]} if parent else {}
