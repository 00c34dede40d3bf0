"""Metrics for scrapers: an application of its own for a listener on loopback, and a route for those with a token."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ostiary.api.caller import CallerDep, Control
from ostiary.policy import ControlAction
from ostiary.telemetry import CONTENT_TYPE

PATH = "/metrics"


def metrics_app(render: Callable[[], bytes]) -> ASGIApp:
    """GET /metrics, and nothing else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = Response(status_code=404)
        if scope["path"] == PATH:
            reads = scope["method"] in ("GET", "HEAD")
            answer = Response(render(), media_type=CONTENT_TYPE) if reads else Response(status_code=405)
        await answer(scope, receive, send)

    return app


def build(render: Callable[[], bytes]) -> APIRouter:
    """The route on the API's listener, for whoever may `view` the gateway."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    async def metrics(caller: CallerDep, control: Control) -> Response:
        control.access.require(caller, ControlAction.VIEW)
        return Response(render(), media_type=CONTENT_TYPE)

    return router
