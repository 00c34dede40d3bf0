"""Pages for people: signing in and out, the one-time link, who may act as you (`/oauth/authorize`, `/device`).

They work without JavaScript; only a passkey needs some. Every answer to a form is a redirect or a page that says why.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from ostiary.api.browser import PAGES, Browsers, Visitor, here, source_of, to_login
from ostiary.core import Principal, Refusal, RefusalKind, Secret
from ostiary.core.limit import Limiter
from ostiary.gate.attempts import network_of
from ostiary.gate.ports import Refused
from ostiary.oauth.authorize import CLI, Answered, AuthorizationEndpoint, AuthorizationRequest, Unanswerable
from ostiary.recording import SignInEvent
from ostiary.signin.admin import Admins
from ostiary.signin.passkeys import Passkeys
from ostiary.signin.people import DeviceRequest, DeviceState, Login, Who, shown_code, typed_code
from ostiary.signin.repository import PeopleRepository
from ostiary.signin.sealed import is_own_path
from ostiary.signin.sessions import Logins
from ostiary.signin.ways import Ways, refused

log = structlog.get_logger()
#: Wrong device codes at once, and a second, that a login has.
GUESSES: Final = 5
GUESSES_A_SECOND: Final = 1 / 60
#: Lines of the audit log about failures, at once, and a second, that an address has.
TOLD: Final = 30
TOLD_A_SECOND: Final = 0.1
_PASSWORD: Final = "password"  # noqa: S105 - names a way
_PASSKEY: Final = "passkey"
_STATIC: Final = {"ostiary.css": "text/css", "passkey.js": "text/javascript"}
_UNKNOWN: Final = refused("there is no such code, or it has expired", "look at the device again").refusal
#: Paths that take forms.
FORMS: Final = ("/login", "/logout", "/login/", "/setup/", "/oauth/authorize", "/device", "/device/decide")


@dataclass(frozen=True, slots=True)
class People:
    """What the pages stand on."""

    browsers: Browsers
    logins: Logins
    admins: Admins
    passkeys: Passkeys
    repository: PeopleRepository
    authorization: AuthorizationEndpoint
    ways: Callable[[], Ways]
    clock: Callable[[], float]


class LoginPage:
    """What happens before and after somebody signs in, whichever way. Implements `routes.ways.Page`."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._told = Limiter(people.clock, TOLD_A_SECOND, TOLD)

    async def arrived(self, request: Request, principal: Principal, then: str) -> Response:
        """They proved who they are: a new login, in place of the one that the browser had."""
        return await self.entered(request, Who.of(principal, principal.issuer), then)

    async def entered(self, request: Request, who: Who, then: str) -> Response:
        """As `arrived`."""
        people, source = self._people, source_of(request)
        before = await people.browsers.visitor(request)
        _, cookie = await people.logins.begin(who, source)
        if before.login is not None:
            await people.logins.end(before.login, source, why="signed in anew")
        return people.browsers.signed_in(RedirectResponse(then if is_own_path(then) else "/login", 303), cookie)

    async def show(
        self, visitor: Visitor, then: str, why: Refusal | None = None, name: str = "", status: int = 200
    ) -> Response:
        """The page itself."""
        people = self._people
        admin = await people.admins.found()
        values = {
            "then": then,
            "asks": CLI if then.startswith("/oauth/authorize?") else "",
            "ways": people.ways().all(),
            "local": admin is not None and admin.ready,
            "passkeys": people.passkeys.offered and admin is not None and bool(admin.passkeys),
            "refusal": why,
            "name": name,
        }
        return people.browsers.page(visitor, "login.html", values, status)

    async def attempt(
        self, request: Request, visitor: Visitor, form: dict[str, str], way: str, proven: Awaitable[Principal]
    ) -> Response:
        """Enter as the local administrator, or see the page again."""
        then = form.get("then", "/login")
        try:
            who = Who.of(await proven, way)
            response = await self.entered(request, who, then)
        except Refused as why:
            log.warning("sign-in refused", way=way, why=why.refusal.message)
            self._failed(request, way, why.refusal)
            then = then if is_own_path(then) else "/login"
            return await self.show(visitor, then, why.refusal, form.get("username", "")[:64], 401)
        log.info("signed in", way=way, principal=who.id)
        return response

    async def set_up(self, request: Request, who: Who) -> Response:
        """Enter with credentials that a one-time link was used for; every login from before ends."""
        people, source = self._people, source_of(request)
        people.logins.tell(SignInEvent.SET_UP, who.id, who.way, source, client="browser")
        await people.logins.end_all(who, source, "new credentials were set up")
        return await self.entered(request, who, "/login")

    def refused(self, request: Request, refusal: Refusal, way: str = "") -> Response:
        """They did not."""
        self._failed(request, way, refusal)
        return self._people.browsers.refused(Visitor(None, "", ""), refusal)

    def _failed(self, request: Request, way: str, refusal: Refusal) -> None:
        """Write it down: what a limit turned away is not, nor more than so many failures of one address."""
        source = source_of(request)
        host = network_of(source)
        if refusal.kind is not RefusalKind.IDENTITY or self._told.wait(host) > 0.0:
            return
        self._told.take(host)
        self._people.logins.tell(SignInEvent.REFUSED, "", way, source, client="browser", why=refusal.message)


def build(people: People, page: LoginPage) -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _signing_in(router, people, page)
    _setting_up(router, people, page)
    _passkeys(router, people, page)
    _authorizing(router, people)
    _devices(router, people)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in _STATIC:
            return Response(status_code=404)
        return Response((PAGES / name).read_bytes(), media_type=_STATIC[name])

    return router


def _signing_in(router: APIRouter, people: People, page: LoginPage) -> None:
    browsers = people.browsers

    @router.get("/login")
    async def ways(request: Request) -> Response:
        visitor = await _visitor(browsers, request)
        if isinstance(visitor, Response):
            return visitor
        then = request.query_params.get("then", "/login")
        then = then if is_own_path(then) else "/login"
        if visitor.login is not None and then == "/login":
            return browsers.page(visitor, "signed_in.html", {})
        if visitor.login is not None:
            return RedirectResponse(then, 303)
        others, admin = people.ways().all(), await people.admins.found()
        if len(others) == 1 and (admin is None or not admin.ready):
            return RedirectResponse(f"{others[0].path}?{urlencode({'then': then})}", 303)
        return await page.show(visitor, then)

    @router.post("/login")
    async def password(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            name, given = form.get("username", ""), Secret(form.get("password", ""))
            proven = people.admins.by_password(name, given, source_of(request))
            return await page.attempt(request, visitor, form, _PASSWORD, proven)

        return await _posted(browsers, request, work)

    @router.post("/logout")
    async def logout(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            del form
            if visitor.login is not None:
                await people.logins.end(visitor.login, source_of(request))
            return browsers.signed_out(RedirectResponse("/login", 303))

        return await _posted(browsers, request, work)


def _setting_up(router: APIRouter, people: People, page: LoginPage) -> None:
    browsers = people.browsers
    passkeys = {"passkeys": people.passkeys.offered}

    @router.get("/setup/{link}")
    async def begin(link: str, request: Request) -> Response:
        visitor = await _visitor(browsers, request)
        if isinstance(visitor, Response):
            return visitor
        try:
            admin = await people.admins.linked(link, source_of(request))
        except Refused as why:
            return browsers.refused(visitor, why.refusal)
        return browsers.page(visitor, "setup.html", {"link": link, "again": admin.ready, "refusal": None} | passkeys)

    @router.post("/setup/{link}")
    async def password(link: str, request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            source, given = source_of(request), form.get("password", "")
            try:
                if given != form.get("again", ""):
                    raise ValueError("the two passwords are not the same")
                principal = await people.admins.set_password(link, Secret(given), source)
            except ValueError as error:
                refusal = refused(str(error), "choose another").refusal
                values = {"link": link, "again": False, "refusal": refusal} | passkeys
                return browsers.page(visitor, "setup.html", values, 422)
            return await page.set_up(request, Who.of(principal, _PASSWORD))

        return await _posted(browsers, request, work)


def _passkeys(router: APIRouter, people: People, page: LoginPage) -> None:
    browsers = people.browsers

    @router.post("/login/passkey")
    async def sign_in(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            proven = people.passkeys.sign_in(form.get("credential", ""), visitor.csrf, source_of(request))
            return await page.attempt(request, visitor, form, _PASSKEY, proven)

        return await _posted(browsers, request, work)

    @router.post("/login/passkey/options")
    async def sign_in_options(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            del form
            return Response(people.passkeys.authentication_options(visitor.csrf), media_type="application/json")

        return await _posted(browsers, request, work)

    @router.post("/setup/{link}/passkey")
    async def register(link: str, request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            given, source = form.get("credential", ""), source_of(request)
            principal = await people.passkeys.register(link, given, visitor.csrf, source)
            return await page.set_up(request, Who.of(principal, _PASSKEY))

        return await _posted(browsers, request, work)

    @router.post("/setup/{link}/passkey/options")
    async def register_options(link: str, request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            del form
            await people.admins.linked(link, source_of(request))
            made = people.passkeys.registration_options(visitor.csrf)
            return Response(made, media_type="application/json")

        return await _posted(browsers, request, work)


def _authorizing(router: APIRouter, people: People) -> None:
    browsers, endpoint = people.browsers, people.authorization

    def read(query: str) -> AuthorizationRequest:
        try:
            return endpoint.read(parse_qsl(query, keep_blank_values=True, max_num_fields=32, errors="strict"))
        except ValueError:
            raise Unanswerable("the request can't be read") from None

    async def answered(
        visitor: Visitor, query: str, work: Callable[[AuthorizationRequest], Awaitable[Response]]
    ) -> Response:
        try:
            return await work(read(query))
        except Unanswerable as why:
            return browsers.refused(visitor, refused(str(why), "log in again from your program").refusal, 400)
        except Answered as done:
            return RedirectResponse(done.location, 303)

    @router.get("/oauth/authorize")
    async def ask(request: Request) -> Response:
        visitor = await _visitor(browsers, request)
        if isinstance(visitor, Response):
            return visitor

        async def work(asked: AuthorizationRequest) -> Response:
            if visitor.login is None:
                return to_login(here(request))
            # Chromium holds redirects after a form to its policy, too, and knows no IPv6 address in one.
            origin = asked.origin if "[" not in asked.origin else "http:"
            values = {"client": CLI, "query": request.url.query, "at": asked.origin}
            return browsers.page(visitor, "authorize.html", values, form_action=origin)

        return await answered(visitor, request.url.query, work)

    @router.post("/oauth/authorize")
    async def decide(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            login = visitor.login
            if login is None:
                raise refused("you are signed in no more", "sign in again")

            async def answer(asked: AuthorizationRequest) -> Response:
                if form.get("decision") != "allow":
                    return RedirectResponse(endpoint.deny(asked), 303)
                return RedirectResponse(await endpoint.grant(asked, login.who), 303)

            return await answered(visitor, form.get("query", ""), answer)

        return await _posted(browsers, request, work)


class _Codes:
    """User codes that people type in: a few guesses each."""

    def __init__(self, people: People) -> None:
        self._repository = people.repository
        self._clock = people.clock
        self._guesses = Limiter(people.clock, GUESSES_A_SECOND, GUESSES)

    async def waiting(self, login: Login, request: Request, form: dict[str, str]) -> DeviceRequest | None:
        """Whom a typed code is about; None, and one guess less, when it is about nobody. Raises Refused."""
        names = (login.who.id, network_of(source_of(request)))
        wait = max(self._guesses.wait(name) for name in names)
        if wait > 0.0:
            raise refused("too many wrong codes", f"try again in {wait:.0f} s")
        found = await self._repository.device(typed_code(form.get("user_code", "")))
        if found is not None and found.state is DeviceState.PENDING and self._clock() < found.expires_at:
            return found
        for name in names:
            self._guesses.take(name)
        return None


def _devices(router: APIRouter, people: People) -> None:
    browsers, repository = people.browsers, people.repository
    codes = _Codes(people)

    @router.get("/device")
    async def enter(request: Request) -> Response:
        visitor = await _visitor(browsers, request)
        if isinstance(visitor, Response):
            return visitor
        if visitor.login is None:
            return to_login(here(request))
        code = typed_code(request.query_params.get("user_code", ""))
        return browsers.page(visitor, "device.html", {"code": shown_code(code) if code else "", "refusal": None})

    @router.post("/device")
    async def look(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            login = visitor.login
            if login is None:
                return to_login("/device")
            found = await codes.waiting(login, request, form)
            if found is None:
                return browsers.page(visitor, "device.html", {"code": "", "refusal": _UNKNOWN}, 422)
            values = {"device": found, "code": shown_code(found.user_code), "from": found.source.rpartition(":")[0]}
            return browsers.page(visitor, "confirm.html", values)

        return await _posted(browsers, request, work)

    @router.post("/device/decide")
    async def decide(request: Request) -> Response:
        async def work(visitor: Visitor, form: dict[str, str]) -> Response:
            login, source = visitor.login, source_of(request)
            if login is None:
                return to_login("/device")
            allow, found = form.get("decision") == "allow", await codes.waiting(login, request, form)
            if found is None:
                raise Refused(_UNKNOWN)
            event = SignInEvent.CONFIRMED if allow else SignInEvent.DENIED
            people.logins.tell(
                event, login.who.id, login.who.way, source, client=CLI, login=login.login_id, why=f"for {found.source}"
            )
            if not await repository.decide_device(found.user_code, login.who if allow else None):
                raise refused("somebody decided on this code already", "look at the device again")
            said = "The device is logged in as you." if allow else "The device gets nothing."
            return browsers.page(visitor, "message.html", {"title": said, "refusal": None})

        return await _posted(browsers, request, work)


async def _visitor(browsers: Browsers, request: Request) -> Visitor | Response:
    """Who comes, or a page that says why they can't."""
    try:
        return await browsers.visitor(request)
    except Refused as why:
        return browsers.refused(Visitor(None, "", ""), why.refusal, 400)


async def _posted(
    browsers: Browsers, request: Request, work: Callable[[Visitor, dict[str, str]], Awaitable[Response]]
) -> Response:
    visitor = Visitor(None, "", "")
    try:
        visitor, form = await browsers.form(request)
        return await work(visitor, form)
    except Refused as why:
        return browsers.refused(visitor, why.refusal)
