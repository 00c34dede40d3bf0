"""The application put together: routers, errors, OpenAPI, and the guard around all of it."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from ostiary.api import problems
from ostiary.api.access_log import AccessLog, Served
from ostiary.api.caller import check_query
from ostiary.api.guard import Guard
from ostiary.api.idempotency import Answers
from ostiary.api.models.gateway import Version
from ostiary.api.routes import accounts, approvals, audit, declarations, health, inventory, leases, sessions, simulation
from ostiary.control.gateway import GatewayControl

PREFIX = "/api/v1"
#: Seconds that a verification may take.
VERIFY_SECONDS = 600.0
#: Bytes of what is applied at once.
MAX_APPLIED = 4 << 20
_ROUTERS = (
    inventory.router,
    declarations.router,
    accounts.router,
    sessions.router,
    approvals.router,
    audit.router,
    simulation.router,
    leases.router,
)
_ANY = problems.responses(400, 401, 403, 406, 413, 415, 422, 429, 500, 503)
_DESCRIPTION = "Every request but /healthz, /readyz and this document carries a token of a configured issuer."


def make_app(
    control: GatewayControl,
    version: Version,
    ready: Callable[[], Awaitable[bool]],
    *,
    tls: bool,
    beside: Sequence[APIRouter] = (),
    forms: Collection[str] = (),
    served: Callable[[Served], None] | None = None,
) -> ASGIApp:
    """The API on these use-cases.

    Args:
        control: the use-cases.
        version: what runs.
        ready: does what the gateway stands on answer?
        tls: its listener has a certificate.
        beside: routers that are not part of the versioned API.
        forms: their paths that take forms.
        served: is told of each request once it is over.
    """
    app = application(control, version, ready)
    for router in beside:
        app.include_router(router)
    simulated = f"{PREFIX}{simulation.PATH}"
    slow = {f"{PREFIX}{audit.VERIFY_PATH}": VERIFY_SECONDS, simulated: simulation.SECONDS}
    large = {simulated: simulation.MAX_BODY, f"{PREFIX}{declarations.APPLY_PATH}": MAX_APPLIED}
    streams = f"{PREFIX}{sessions.STREAMS}"
    guard = Guard(app, tls=tls, slow=slow, forms=forms, streams=streams, large=large)
    return AccessLog(guard, PREFIX, served)


def application(control: GatewayControl, version: Version, ready: Callable[[], Awaitable[bool]]) -> FastAPI:
    """Without the guard."""
    app = FastAPI(
        title="Ostiary",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.control = control
    app.state.answers = Answers(time.monotonic)
    outside, inside = health.build(version, ready)
    app.include_router(outside)
    versioned = APIRouter(prefix=PREFIX, responses=_ANY, dependencies=[Depends(check_query)])
    for router in (inside, *_ROUTERS):
        versioned.include_router(router)
    app.include_router(versioned)
    problems.install(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.state.queries = dict(_queries(app.openapi()))
    return app


def _queries(document: Mapping[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    """Names of operations, and of the query parameters that they promise."""
    for path in document["paths"].values():
        for operation in path.values():
            parameters = operation.get("parameters", ())
            yield operation["operationId"], frozenset(each["name"] for each in parameters if each["in"] == "query")


def _openapi(app: FastAPI) -> dict[str, Any]:
    """With the schema of problems, which no route returns by its type."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made["components"]["schemas"]
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["Problem"] = problem
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema
