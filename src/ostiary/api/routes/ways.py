"""Out to another identity provider and back: `/login/oidc/{issuer}` and `/login/saml/{issuer}`.

What is pending lies sealed in a cookie of the browser that began. A SAML response comes by a POST from another site,
for which browsers send a cookie only when it says `SameSite=None`; the response must still name what is in it.
"""

from collections.abc import Callable
from typing import Final, Literal, Protocol
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from ostiary.core import Principal, Refusal
from ostiary.gate.ports import Refused
from ostiary.signin.sealed import Seal, is_own_path
from ostiary.signin.ways import PENDING_SECONDS, Pending, Way, Ways, refused

log = structlog.get_logger()
_MAX_PARAMETERS: Final = 16


class Page(Protocol):
    """The login page, as who comes back meets it."""

    async def arrived(self, request: Request, principal: Principal, then: str) -> Response:
        """Somebody signed in; `then`: the path at this gateway that they wanted."""
        ...

    def refused(self, request: Request, refusal: Refusal, way: str = "") -> Response:
        """Somebody did not; `way`: its name, where there is such a one."""
        ...


class _Trip:
    """Out and back of one browser."""

    def __init__(self, seal: Seal, page: Page, clock: Callable[[], float], *, secure: bool) -> None:
        self._seal = seal
        self._page = page
        self._clock = clock
        self._secure = secure
        self._cookie = "__Host-ostiary-signin" if secure else "ostiary-signin"

    async def begin(self, request: Request, way: Way | None, site: Literal["lax", "none"]) -> Response:
        if way is None:
            return self.unknown(request)
        then = request.query_params.get("then", "/")
        pending = Pending.begun(way.name, self._clock())
        try:
            if not is_own_path(then):
                raise refused("it would lead elsewhere afterwards")
            out = await way.begin(pending)
        except Refused as why:
            return self._refused(request, way, why)
        response = RedirectResponse(out.url, 303)
        sealed, seconds = self._seal.close(pending, then), int(PENDING_SECONDS)
        response.set_cookie(self._cookie, sealed, seconds, secure=self._secure, httponly=True, samesite=site)
        return response

    async def finish(self, request: Request, way: Way | None, form: str) -> Response:
        if way is None:
            return self.unknown(request)
        begun = self._seal.open(request.cookies.get(self._cookie, ""))
        try:
            if begun is None:
                raise refused("this browser did not begin it, or keeps no cookies")
            pending, then = begun
            principal = await way.finish(pending, _read(form))
            response = await self._page.arrived(request, principal, then)
        except Refused as why:
            response = self._refused(request, way, why)
        else:
            log.info("signed in", way=way.name, principal=principal.id)
        response.delete_cookie(self._cookie, secure=self._secure, httponly=True)
        return response

    def unknown(self, request: Request) -> Response:
        """Nobody signs in that way."""
        return self._page.refused(request, refused("there is no such identity provider here").refusal)

    def _refused(self, request: Request, way: Way, why: Refused) -> Response:
        log.warning("sign-in refused", way=way.name, why=why.refusal.message)
        return self._page.refused(request, why.refusal, way.name)


def build(ways: Callable[[], Ways], seal: Seal, page: Page, clock: Callable[[], float], *, secure: bool) -> APIRouter:
    """Begin and end of each way.

    Args:
        ways: those that there are now.
        seal: of what is pending.
        page: what comes before and after.
        clock: Unix seconds.
        secure: browsers come over https.
    """
    router = APIRouter(include_in_schema=False)
    trip = _Trip(seal, page, clock, secure=secure)

    @router.get("/login/oidc/{name}")
    async def redirect(name: str, request: Request) -> Response:
        return await trip.begin(request, ways().redirected.get(name), "lax")

    @router.get("/login/oidc/{name}/callback")
    async def callback(name: str, request: Request) -> Response:
        return await trip.finish(request, ways().redirected.get(name), request.url.query)

    @router.get("/login/saml/{name}")
    async def redirect_to_post(name: str, request: Request) -> Response:
        return await trip.begin(request, ways().posted.get(name), "none" if secure else "lax")

    @router.post("/login/saml/{name}/acs")
    async def acs(name: str, request: Request) -> Response:
        return await trip.finish(request, ways().posted.get(name), (await request.body()).decode("latin-1"))

    @router.get("/login/saml/{name}/metadata")
    async def metadata(name: str, request: Request) -> Response:
        way = ways().posted.get(name)
        if way is None:
            return trip.unknown(request)
        return Response(way.metadata(), media_type="application/samlmetadata+xml")

    return router


def _read(form: str) -> dict[str, str]:
    """Parameters, each once. Raises Refused."""
    try:
        pairs = parse_qsl(form, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise refused("the answer can't be read") from None
    if len(dict(pairs)) != len(pairs):
        raise refused("the answer has a parameter twice")
    return dict(pairs)
