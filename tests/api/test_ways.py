"""Out to another identity provider and back, as a browser goes: the browser that began is the one that finishes."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from httpx2 import ASGITransport, AsyncClient

from ostiary.api.guard import Guard
from ostiary.api.routes import ways
from ostiary.core import Principal, Refusal
from ostiary.signin.saml_key import SamlKey
from ostiary.signin.sealed import Seal
from ostiary.signin.ways import PENDING_SECONDS, Pending, Ways
from tests.identity.saml_kit import assertion, password, response, sign
from tests.signin import kit, test_saml

OIDC = "/login/oidc/corp"
SAML = "/login/saml/corp"
COOKIE = "__Host-ostiary-signin"


class Page:
    """Says what it is told."""

    async def arrived(self, request: Request, principal: Principal, then: str) -> Response:
        del request
        return JSONResponse({"principal": principal.id, "then": then})

    def refused(self, request: Request, refusal: Refusal, way: str = "") -> Response:
        del request
        assert way in ("", "corp")
        return JSONResponse({"refused": refusal.message}, 403)


class World:
    """Both kinds of providers, and the gateway's routes."""

    def __init__(self, tmp_path: Path, *, secure: bool = True) -> None:
        self.oidc = kit.World()
        self.saml = test_saml.World(tmp_path, SamlKey(tmp_path / "saml.pem"))
        self.ways = Ways({"corp": self.oidc.way}, {"corp": self.saml.way})
        app = FastAPI()
        seal = Seal(bytes(32))
        app.include_router(ways.build(lambda: self.ways, seal, Page(), lambda: self.oidc.now, secure=secure))
        self.app = Guard(app, tls=secure, slow={}, forms=["/login/"])
        self.base = "https://gw.example" if secure else "http://127.0.0.1"
        self.seal = seal

    def browser(self) -> AsyncClient:
        """A new one, which follows nothing by itself."""
        return AsyncClient(transport=ASGITransport(app=self.app), base_url=self.base)

    async def out(self, browser: AsyncClient, then: str = "/done?x=1") -> Mapping[str, str]:
        """Begin at the OpenID provider and sign in there: what comes back."""
        begun = await browser.get(OIDC, params={"then": then})
        assert begun.status_code == 303
        return self.oidc.provider.authorize(begun.headers["location"])

    def answer(self, browser: AsyncClient) -> str:
        """The form of a good Response to what this browser began."""
        opened = self.seal.open(browser.cookies[COOKIE])
        assert opened is not None
        self.saml.pending = opened[0]
        document = response(sign(assertion(**self.saml.parts())), **self.saml.around())
        return urlencode({"SAMLResponse": password(document), "RelayState": self.saml.pending.state})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Over https."""
    return World(tmp_path)


FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html,*/*;q=0.8"}


async def test_there_and_back(world: World) -> None:
    """Who signed in, and where they wanted to go; nothing stays pending in the browser."""
    async with world.browser() as browser:
        params = await world.out(browser)
        done = await browser.get(f"{OIDC}/callback", params=params)
        assert done.json() == {"principal": "corp:ada", "then": "/done?x=1"}
        assert COOKIE not in browser.cookies
        assert "pending" not in done.headers["set-cookie"]
        again = await browser.get(f"{OIDC}/callback", params=params)
        assert again.json() == {"refused": "sign-in refused: this browser did not begin it, or keeps no cookies"}


async def test_there_and_back_by_a_form(world: World) -> None:
    """A Response is posted from the provider's own site."""
    async with world.browser() as browser:
        begun = await browser.get(SAML)
        assert urlsplit(begun.headers["location"]).hostname == "idp.example"
        done = await browser.post(f"{SAML}/acs", content=world.answer(browser), headers=FORM)
        assert done.json() == {"principal": "corp:ada@example.test", "then": "/"}
        assert COOKIE not in browser.cookies


@pytest.mark.parametrize(("path", "site"), [(OIDC, "lax"), (SAML, "none")])
async def test_the_cookie(world: World, path: str, site: str) -> None:
    """For this host alone, over https, out of reach for scripts, for ten minutes; from elsewhere only where it must."""
    async with world.browser() as browser:
        text = (await browser.get(path)).headers["set-cookie"]
        parts = {part.strip().lower() for part in text.split(";")[1:]}
        assert parts == {"httponly", f"max-age={PENDING_SECONDS:.0f}", "path=/", f"samesite={site}", "secure"}
        assert text.startswith(f"{COOKIE}=")


async def test_without_tls(tmp_path: Path) -> None:
    """On a loopback address, where there is no https: a cookie that comes back there."""
    world = World(tmp_path, secure=False)
    async with world.browser() as browser:
        params = await world.out(browser)
        assert (await browser.get(f"{OIDC}/callback", params=params)).json()["principal"] == "corp:ada"
        text = (await browser.get(SAML)).headers["set-cookie"].lower()
        assert "samesite=lax" in text
        assert "secure" not in text


async def test_login_csrf(world: World) -> None:
    """The attacker's answer in the victim's browser: with no cookie, with the victim's own, by redirect and by form."""
    async with world.browser() as attacker, world.browser() as victim:
        params = await world.out(attacker)
        for _ in range(2):
            refused = await victim.get(f"{OIDC}/callback", params=params)
            assert refused.status_code == 403
            assert not world.oidc.provider.posted
            await world.out(victim)
        await attacker.get(SAML)
        form = world.answer(attacker)
        for _ in range(2):
            refused = await victim.post(f"{SAML}/acs", content=form, headers=FORM)
            assert refused.status_code == 403
            await victim.get(SAML)


async def test_a_cookie_of_ones_own_making(world: World) -> None:
    """A stolen answer does not fit what the thief's browser began, and what that says can't be changed."""
    async with world.browser() as victim, world.browser() as thief:
        await victim.get(SAML)
        form = world.answer(victim)
        pending = world.saml.pending
        thief.cookies.set(COOKIE, Seal(b"1" * 32).close(pending, "/"))
        refused = await thief.post(f"{SAML}/acs", content=form, headers=FORM)
        assert refused.json() == {"refused": "sign-in refused: this browser did not begin it, or keeps no cookies"}


async def test_another_ways_answer(world: World) -> None:
    """What was begun at one provider is not finished at another, also where both have the same name."""
    async with world.browser() as browser:
        await browser.get(SAML)
        opened = world.seal.open(browser.cookies[COOKIE])
        assert opened is not None
        params = {"state": opened[0].state, "code": "x", "iss": "https://issuer.example"}
        refused = await browser.get(f"{OIDC}/callback", params=params)
        assert refused.status_code == 403


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=a&state=b", "has a parameter twice"),
        ("&".join(f"a{n}=1" for n in range(17)), "can't be read"),
        ("state=%ff", "can't be read"),
    ],
)
async def test_parameters_that_can_be_read_in_two_ways(world: World, query: str, sentence: str) -> None:
    """Refused whole."""
    async with world.browser() as browser:
        await world.out(browser)
        refused = await browser.get(f"{OIDC}/callback?{query}")
        assert refused.json() == {"refused": f"sign-in refused: the answer {sentence}"}


async def test_a_body_that_is_too_large_or_no_form(world: World) -> None:
    """Turned away before it is read, or as what it is."""
    async with world.browser() as browser:
        await browser.get(SAML)
        large = await browser.post(f"{SAML}/acs", content=b"SAMLResponse=" + b"A" * 65536, headers=FORM)
        assert large.status_code == 413
        other = await browser.post(f"{SAML}/acs", json={"SAMLResponse": "x"})
        assert other.status_code == 415


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/" + "x" * 2000, "/a\nb"])
async def test_no_open_redirect(world: World, then: str) -> None:
    """Nobody is sent out, to come back to somewhere else."""
    async with world.browser() as browser:
        refused = await browser.get(OIDC, params={"then": then})
        assert refused.json() == {"refused": "sign-in refused: it would lead elsewhere afterwards"}
        assert "set-cookie" not in refused.headers


async def test_a_provider_that_can_not_be_asked(world: World) -> None:
    """The page says so."""
    world.oidc.provider.pages.clear()
    async with world.browser() as browser:
        refused = await browser.get(OIDC)
        assert 'the provider "corp" can\'t be used' in refused.json()["refused"]


async def test_no_such_provider(world: World) -> None:
    """Also one that was there when somebody began."""
    async with world.browser() as browser:
        params = await world.out(browser)
        world.ways = Ways()
        for path in (OIDC, f"{OIDC}/callback", SAML, f"{SAML}/metadata"):
            refused = await browser.get(path, params=params)
            assert refused.json() == {"refused": "sign-in refused: there is no such identity provider here"}
        refused = await browser.post(f"{SAML}/acs", content="a=b", headers=FORM)
        assert refused.status_code == 403


async def test_own_metadata(world: World) -> None:
    """For the operator of the identity provider."""
    async with world.browser() as browser:
        answer = await browser.get(f"{SAML}/metadata")
        assert answer.headers["content-type"] == "application/samlmetadata+xml"
        assert answer.content == world.saml.way.metadata()


async def test_the_log_holds_no_secret(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Who signed in where, and who did not and why: no code, no state, no token."""
    async with world.browser() as browser:
        params = await world.out(browser)
        await browser.get(f"{OIDC}/callback", params=params)
        await browser.get(f"{OIDC}/callback", params={**params, "state": Pending.begun("corp", 0).state})
    told = capsys.readouterr().out
    assert "signed in" in told
    assert "sign-in refused" in told
    for secret in (
        params["code"],
        params["state"],
        *parse_qs(urlencode(world.oidc.provider.posted[0][0]))["code_verifier"],
    ):
        assert secret not in told
