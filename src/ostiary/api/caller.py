"""Who calls: the bearer token (RFC 6750) of a request, verified as a session's would be, and what routes stand on."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ostiary.api.problems import Unfit
from ostiary.control.access import Caller
from ostiary.control.gateway import GatewayControl
from ostiary.core import Proof, Refusal, RefusalKind, Secret
from ostiary.gate.ports import Refused

_bearer = HTTPBearer(auto_error=False, description="A token of a configured issuer, as for a session.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def control(request: Request) -> GatewayControl:
    """The use-cases."""
    found = request.app.state.control
    assert isinstance(found, GatewayControl)
    return found


Control = Annotated[GatewayControl, Depends(control)]


async def caller(request: Request, credentials: Credentials, uses: Control) -> Caller:
    """Raises Refused: 401."""
    found = await uses.access.caller(_proof(request, credentials))
    # For the access log.
    request.state.caller = found.principal.id
    return found


CallerDep = Annotated[Caller, Depends(caller)]
Again = Callable[[], Awaitable[Caller]]


def again(request: Request, credentials: Credentials, uses: Control) -> Again:
    """Identifies the caller anew, for what goes on for long. Raises Refused."""
    return lambda: uses.access.caller(_proof(request, credentials))


AgainDep = Annotated[Again, Depends(again)]


def _proof(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Proof:
    if len(request.headers.getlist("authorization")) > 1:
        raise Unfit(400, "authorization", "there is more than one Authorization header", "send one")
    if credentials is None or not credentials.credentials:
        refusal = Refusal(RefusalKind.IDENTITY, "no token was sent", "send Authorization: Bearer TOKEN")
        raise Refused(refusal)
    host, port = request.client or ("", 0)
    return Proof(
        Secret(credentials.credentials),
        "",
        f"{host}:{port}",
        encrypted=request.url.scheme == "https",
        loopback=host.startswith("127.") or host == "::1",
        certificates=(certificate,) if (certificate := certificate_of(request)) else (),
    )


def certificate_of(request: Request) -> bytes:
    """The certificate that the client showed on this connection, verified, in DER; empty when there is none."""
    found: bytes = getattr(request.state, "certificate", b"")
    return found


def check_query(request: Request, _: CallerDep) -> None:
    """A filter that is misspelt must not be taken for none. Raises Unfit: 422."""
    known = request.app.state.queries[request.scope["route"].name]
    for name in request.query_params:
        if name not in known:
            raise Unfit(422, "invalid", "there is a query parameter that this resource does not have", _SEE)
        if len(request.query_params.getlist(name)) > 1:
            raise Unfit(422, "invalid", f"query parameter {name} is there more than once", _SEE)


_SEE = "see /api/v1/openapi.json"
