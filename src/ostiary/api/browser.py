"""What pages for people stand on: the browser's login, forms that come from our own pages, and how a page is sent.

The cookie is `__Host-`, HttpOnly, SameSite=Lax; its value is new at each sign-in and known to the store by its digest.
A form carries a token that is a MAC under the browser's cookie, so no other site can make one.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ostiary.core import Principal, Proof, Refusal, Secret
from ostiary.identity.rules import check_private
from ostiary.signin.people import Login
from ostiary.signin.sealed import is_own_path
from ostiary.signin.sessions import Logins
from ostiary.signin.ways import refused

PAGES: Final = Path(__file__).parent / "pages"
_MAX_FIELDS: Final = 32
_CSRF: Final = b"ostiary form"


class SignInFirst(Exception):  # noqa: N818 - reads as what is asked for
    """A page for people who are signed in, and nobody is. `then`: where they wanted to go."""

    def __init__(self, then: str) -> None:
        super().__init__("sign in first")
        self.then = then


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who looks at a page, and the token that its forms carry."""

    login: Login
    csrf: str

    @property
    def principal(self) -> Principal:
        """Whom policies are asked about."""
        return self.login.principal()


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser, signed in or not."""

    login: Login | None
    csrf: str
    #: Cookie to set, so that the token counts; empty: it is there.
    fresh: str


class Browsers:
    """Args: logins: whose cookies. url: of the gateway. plaintext_loopback: as of listeners."""

    def __init__(self, logins: Logins, url: str, *, plaintext_loopback: bool) -> None:
        self._logins = logins
        self._plaintext_loopback = plaintext_loopback
        self.secure = urlsplit(url).scheme == "https"
        prefix = "__Host-" if self.secure else ""
        self._session, self._form = f"{prefix}ostiary", f"{prefix}ostiary-form"

    async def visitor(self, request: Request) -> Visitor:
        """Who comes. Raises Refused where others could read along."""
        host, port = request.client or ("", 0)
        loopback = host.startswith("127.") or host == "::1"
        proof = Proof(Secret(b""), "", f"{host}:{port}", request.url.scheme == "https", loopback)
        check_private(proof, allow_plaintext_loopback=self._plaintext_loopback)
        cookie = request.cookies.get(self._session, "")
        login = await self._logins.of_cookie(cookie) if cookie else None
        if login is not None:
            return Visitor(login, _token(cookie), "")
        there = request.cookies.get(self._form, "")
        value = there if len(there) == 43 else secrets.token_urlsafe(32)
        return Visitor(None, _token(value), "" if there == value else value)

    async def form(self, request: Request) -> tuple[Visitor, dict[str, str]]:
        """A form that one of our own pages sent from this very browser. Raises Refused."""
        visitor = await self.visitor(request)
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise refused("the form came from another site", "go back, and load the page again")
        try:
            body = (await request.body()).decode("ascii")
            pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
        except ValueError:
            raise refused("the form can't be read") from None
        fields = dict(pairs)
        if visitor.fresh or not hmac.compare_digest(fields.pop("csrf", "").encode(), visitor.csrf.encode()):
            raise refused("the page was too old, or this browser keeps no cookies", "load the page again")
        return visitor, fields

    def signed_in(self, response: Response, cookie: Secret) -> Response:
        """Give the browser a new login."""
        response.set_cookie(
            self._session, cookie.reveal_text(), secure=self.secure, httponly=True, samesite="lax", path="/"
        )
        response.delete_cookie(self._form, secure=self.secure, httponly=True)
        return response

    def signed_out(self, response: Response) -> Response:
        """Take it away."""
        response.delete_cookie(self._session, secure=self.secure, httponly=True)
        return response

    def page(
        self, visitor: Visitor, name: str, values: Mapping[str, Any], status: int = 200, form_action: str = ""
    ) -> Response:
        """One of the templates. `form_action`: origin beside our own that its forms may end at."""
        text = _templates().get_template(name).render(csrf=visitor.csrf, login=visitor.login, **values)
        policy = (
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
            f"form-action 'self'{form_action and ' ' + form_action}; base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
        response = HTMLResponse(text, status, headers)
        if visitor.fresh:
            response.set_cookie(self._form, visitor.fresh, secure=self.secure, httponly=True, samesite="lax", path="/")
        return response

    def refused(self, visitor: Visitor, refusal: Refusal, status: int = 403) -> Response:
        """A page that says why not."""
        return self.page(visitor, "message.html", {"title": "That did not work", "refusal": refusal}, status)

    def dependency(self) -> Callable[[Request], Awaitable[SignedIn]]:
        """For routes of pages that only people who are signed in see: `Annotated[SignedIn, Depends(…)]`."""

        async def signed_in(request: Request) -> SignedIn:
            visitor = await self.visitor(request)
            if visitor.login is None:
                raise SignInFirst(here(request))
            return SignedIn(visitor.login, visitor.csrf)

        return signed_in


def here(request: Request) -> str:
    """The path that was asked for, with its query."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def to_login(then: str) -> Response:
    """Sign in, then come back."""
    return RedirectResponse(f"/login?then={quote(then, safe='')}" if is_own_path(then) else "/login", 303)


def source_of(request: Request) -> str:
    """Address of the client, "ip:port"."""
    host, port = request.client or ("", 0)
    return f"{host}:{port}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _token(cookie: str) -> str:
    return hmac.new(cookie.encode(), _CSRF, hashlib.sha256).hexdigest()
