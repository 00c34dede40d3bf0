"""The login page and the one-time link, as a browser meets them, and what is tried against them."""

import pytest
from httpx2 import Response

from ostiary.api.routes import people
from ostiary.core import Secret
from ostiary.oauth import PEOPLE_PATHS
from ostiary.oauth.authorize import CLI
from ostiary.oauth.people import DEVICE_CODE
from ostiary.recording import SignInEvent
from ostiary.signin.admin import ACCOUNT_FAILURES, FAILURES, LINK_SECONDS
from ostiary.signin.passwords import MAX_WAITING
from ostiary.signin.people import IDLE_SECONDS
from tests.signin.people_kit import LIFETIME, PASSWORD, Browser, Cli, Gateway

COOKIE = "__Host-ostiary"
WRONG = "sign-in refused: that is not an account and its password or passkey"


async def sign_in(browser: Browser, password: str = PASSWORD, username: str = "admin", **more: str) -> Response:
    """By the form of the login page."""
    await browser.get("/login", **more)
    return await browser.send("/login", username=username, password=password)


async def signed_in(browser: Browser) -> bool:
    """Does the gateway know who this is?"""
    return "You are <strong>ostiary:admin</strong>" in (await browser.get("/login")).text


def cookies(response: Response) -> dict[str, set[str]]:
    """Name → attributes."""
    found = {}
    for text in response.headers.get_list("set-cookie"):
        first, *rest = text.split(";")
        found[first.partition("=")[0]] = {each.strip().lower() for each in rest}
    return found


# ---------------------------------------------------------------- the link


async def test_the_link(gateway: Gateway) -> None:
    """It sets the password, signs in, and is good no more."""
    browser = await gateway.set_up()
    assert await signed_in(browser)
    other = gateway.browser()
    assert (await sign_in(other)).headers["location"] == "/login"
    assert await signed_in(other)


async def test_a_link_works_once(gateway: Gateway) -> None:
    """Looking at it uses nothing up; after the form it is over, for another browser, too."""
    link = await gateway.link()
    first, second = gateway.browser(), gateway.browser()
    for browser in (first, second, second):
        assert (await browser.get(link)).status_code == 200
    assert (await first.send(link, password=PASSWORD, again=PASSWORD)).status_code == 303
    late = await second.send(link, password="another long password", again="another long password")
    assert late.status_code == 403
    assert "was used, or has expired" in late.text
    assert (await second.get(link)).status_code == 403
    assert not await signed_in(second)


async def test_a_link_ends(gateway: Gateway) -> None:
    """After an hour, and when a newer one is made."""
    link = await gateway.link()
    newer = await gateway.link()
    browser = gateway.browser()
    assert (await browser.get(link)).status_code == 403
    await browser.get(newer)
    gateway.clock.now += LINK_SECONDS
    late = await browser.send(newer, password=PASSWORD, again=PASSWORD)
    assert (late.status_code, await signed_in(browser)) == (403, False)


async def test_guessing_links(gateway: Gateway) -> None:
    """A few tries an address."""
    link = await gateway.link()
    guesser = gateway.browser("198.51.100.9")
    for _ in range(FAILURES):
        assert "was used, or has expired" in (await guesser.get("/setup/guess")).text
    assert "too many attempts" in (await guesser.get(link)).text
    assert (await gateway.browser().get(link)).status_code == 200


@pytest.mark.parametrize(
    ("password", "again", "why"),
    [
        ("short", "short", "12 to 256 characters"),
        ("x" * 257, "x" * 257, "12 to 256 characters"),
        ("x" * 20_000, "x" * 20_000, "12 to 256 characters"),
        (PASSWORD, PASSWORD + "!", "not the same"),
    ],
)
async def test_passwords_that_do_not_fit(gateway: Gateway, password: str, again: str, why: str) -> None:
    """The form comes back, and the link stays good."""
    link, browser = await gateway.link(), gateway.browser()
    await browser.get(link)
    told = await browser.send(link, password=password, again=again)
    assert (told.status_code, why in told.text, password in told.text) == (422, True, False)
    assert (await browser.send(link, password=PASSWORD, again=PASSWORD)).status_code == 303


async def test_a_new_link_replaces_everything(gateway: Gateway) -> None:
    """The old password is good no more, and every login ends."""
    browser = await gateway.set_up()
    link, fresh = await gateway.link(), gateway.browser()
    assert "replaces the password" in (await fresh.get(link)).text
    await fresh.send(link, password="another long password", again="another long password")
    assert not await signed_in(browser)
    assert (await sign_in(browser)).status_code == 401
    assert (await sign_in(browser, "another long password")).status_code == 303


async def test_a_new_link_replaces_what_is_on_its_way(gateway: Gateway) -> None:
    """A code and a confirmed device of the one who is locked out come to nothing; those of others go on."""
    thief, cli = await gateway.set_up(), Cli()
    path = PEOPLE_PATHS["device_authorization_endpoint"]
    waiting = (await gateway.browser().post(path, client_id=CLI)).json()
    another = (await gateway.browser().post(path, client_id=CLI)).json()
    await thief.get("/device")
    await thief.send("/device", user_code=waiting["user_code"])
    assert (await thief.send("/device/decide", decision="allow")).status_code == 200
    code = await gateway.code(thief, cli)
    await gateway.set_up()
    assert (await gateway.token(cli.form(code))).json()["error"] == "invalid_grant"
    for device, error in ((waiting, "invalid_grant"), (another, "authorization_pending")):
        form = {"grant_type": DEVICE_CODE, "client_id": CLI, "device_code": device["device_code"]}
        assert (await gateway.token(form)).json()["error"] == error


async def test_a_new_link_replaces_a_password_that_is_being_looked_at(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashing takes time; a thief who signs in again and again is not let in by the old password meanwhile."""
    await gateway.set_up()
    link, fresh, thief = await gateway.link(), gateway.browser(), gateway.browser()
    verify = gateway.passwords.verify

    async def slow(stored: str, password: Secret) -> bool:
        good = await verify(stored, password)
        await fresh.get(link)
        await fresh.send(link, password="another long password", again="another long password")
        return good

    monkeypatch.setattr(gateway.passwords, "verify", slow)
    assert (await sign_in(thief)).status_code == 401
    assert await signed_in(fresh)
    assert not await signed_in(thief)


# ---------------------------------------------------------------- passwords


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", "not this one, no"),
        ("nobody", PASSWORD),
        ("", ""),
        ("admin", ""),
        ("Admin", PASSWORD),
        ("admin", "ü" * 5000),
    ],
)
async def test_every_failure_is_alike(gateway: Gateway, username: str, password: str) -> None:
    """The same page with the same words, after one hash: nobody learns which accounts there are."""
    await gateway.set_up()
    browser = gateway.browser()
    told = await sign_in(browser, password, username)
    assert told.status_code == 401
    assert WRONG in told.text
    assert len(gateway.passwords.verified) == 1
    assert COOKIE not in cookies(told)
    (line,) = gateway.events(SignInEvent.REFUSED)
    assert (line.by, line.way, line.source) == ("", "password", "192.0.2.7:5000")


async def test_before_there_is_an_account(gateway: Gateway) -> None:
    """As if the password were wrong, with the same work; the page itself says what to do."""
    browser = gateway.browser()
    page = await browser.get("/login")
    assert "ostiary admin link" in page.text
    link = await gateway.link()
    await browser.get(link)
    told = await browser.send("/login", username="admin", password=PASSWORD)
    assert (told.status_code, WRONG in told.text, gateway.passwords.verified) == (401, True, [""])


async def test_brute_force(gateway: Gateway) -> None:
    """From one address a few failures, then none for a while, the right password included; others are not kept out."""
    await gateway.set_up()
    attacker = gateway.browser("198.51.100.9")
    for number in range(FAILURES):
        assert WRONG in (await sign_in(attacker, f"guess number {number}")).text
    verified = len(gateway.passwords.verified)
    for password in ("one more guess", PASSWORD):
        assert "too many attempts failed" in (await sign_in(attacker, password)).text
    assert len(gateway.passwords.verified) == verified
    assert len(gateway.events(SignInEvent.REFUSED)) == FAILURES
    assert (await sign_in(gateway.browser())).status_code == 303
    gateway.clock.now += 11
    assert (await sign_in(attacker)).status_code == 303


async def test_brute_force_from_a_network(gateway: Gateway) -> None:
    """Whoever has one IPv6 address has 2^64 of them: they count as one."""
    await gateway.set_up()
    for number in range(FAILURES):
        assert WRONG in (await sign_in(gateway.browser(f"2001:db8::{number:x}"), "a guess of many")).text
    assert "too many attempts failed" in (await sign_in(gateway.browser("2001:db8::ffff:1"))).text
    assert (await sign_in(gateway.browser("2001:db8:0:1::1"))).status_code == 303


async def test_brute_force_from_everywhere(gateway: Gateway) -> None:
    """The account has its own measure."""
    await gateway.set_up()
    for number in range(ACCOUNT_FAILURES):
        assert WRONG in (await sign_in(gateway.browser(f"10.0.{number}.1"), "a guess of many")).text
    assert "too many attempts failed" in (await sign_in(gateway.browser("10.9.9.9"))).text


async def test_failures_do_not_fill_the_audit_log(gateway: Gateway) -> None:
    """An address has a few lines at once, whichever way it fails."""
    browser = gateway.browser()
    for _ in range(people.TOLD + 20):
        assert (await browser.get("/login/oidc/nobody")).status_code == 403
    assert len(gateway.events(SignInEvent.REFUSED)) == people.TOLD
    gateway.clock.now += 10
    await browser.get("/login/oidc/nobody")
    assert len(gateway.events(SignInEvent.REFUSED)) == people.TOLD + 1


async def test_too_many_at_once(gateway: Gateway) -> None:
    """Hashing never queues up without end."""
    await gateway.set_up()
    gateway.passwords._waiting = MAX_WAITING
    assert "too many people sign in" in (await sign_in(gateway.browser())).text


# ---------------------------------------------------------------- browsers


async def test_the_cookie(gateway: Gateway) -> None:
    """For this host alone, over TLS, out of reach for scripts, not sent from other sites' forms."""
    await gateway.set_up()
    browser = gateway.browser()
    done = await sign_in(browser)
    assert cookies(done)[COOKIE] == {"httponly", "path=/", "samesite=lax", "secure"}


async def test_fixation(gateway: Gateway) -> None:
    """Whatever the browser had before, what it has afterwards is new, and the old login is over."""
    browser = await gateway.set_up()
    before = browser.client.cookies[COOKIE]
    planted = gateway.browser()
    planted.client.cookies.set(COOKIE, "planted-by-somebody-else", domain="gw.example")
    await sign_in(planted)
    assert planted.client.cookies[COOKIE] not in ("planted-by-somebody-else", before)
    page = await browser.get("/login")
    await browser.post("/login", csrf=csrf_of(page), username="admin", password=PASSWORD)
    assert browser.client.cookies[COOKIE] != before
    stolen = gateway.browser()
    stolen.client.cookies.set(COOKIE, before, domain="gw.example")
    assert not await signed_in(stolen)


async def test_a_browser_s_login_ends(gateway: Gateway) -> None:
    """When it is idle, when its time is over however busy, and when its person says so."""
    browser = await gateway.set_up()
    gateway.clock.now += IDLE_SECONDS - 1
    assert await signed_in(browser)
    gateway.clock.now += IDLE_SECONDS - 1
    assert await signed_in(browser)
    gateway.clock.now += IDLE_SECONDS
    assert not await signed_in(browser)
    await sign_in(browser)
    for _ in range(int(LIFETIME // 1000)):
        gateway.clock.now += 1000
        assert await signed_in(browser)
    gateway.clock.now += 1000
    assert not await signed_in(browser)
    await sign_in(browser)
    cookie = browser.client.cookies[COOKIE]
    await browser.get("/login")
    assert (await browser.send("/logout")).status_code == 303
    assert COOKIE not in browser.client.cookies
    browser.client.cookies.set(COOKIE, cookie, domain="gw.example")
    assert not await signed_in(browser)
    assert len(gateway.events(SignInEvent.SIGNED_OUT)) == 1


FORMS = ["/login", "/logout", "/setup/link", "/oauth/authorize", "/device", "/device/decide"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("csrf", [None, "", "0" * 64])
async def test_forms_of_other_sites(gateway: Gateway, path: str, csrf: str | None) -> None:
    """No form counts without the token of a page of ours in this very browser."""
    browser = await gateway.set_up()
    fields = {} if csrf is None else {"csrf": csrf}
    told = await browser.post(path, **fields, username="admin", password=PASSWORD, decision="allow")
    assert (told.status_code, "the page was too old" in told.text) == (403, True)
    assert await signed_in(browser)


async def test_login_csrf(gateway: Gateway) -> None:
    """The attacker's own token is no good in the victim's browser."""
    await gateway.set_up()
    attacker, victim = gateway.browser(), gateway.browser()
    token = csrf_of(await attacker.get("/login"))
    await victim.get("/login")
    told = await victim.post("/login", csrf=token, username="admin", password=PASSWORD)
    assert told.status_code == 403
    assert not await signed_in(victim)


async def test_forms_from_elsewhere(gateway: Gateway) -> None:
    """Where browsers say that another site sent a form, they are believed."""
    browser = await gateway.set_up()
    await browser.get("/login")
    browser.client.headers["Sec-Fetch-Site"] = "cross-site"
    assert "came from another site" in (await browser.send("/logout")).text


@pytest.mark.parametrize("path", ["/login", "/device", "/oauth/authorize", "/setup/x"])
async def test_no_frames_no_scripts_no_copies(gateway: Gateway, path: str) -> None:
    """Nobody lays a page of ours under theirs; nothing inline runs; no cache keeps it."""
    browser = await gateway.set_up()
    headers = (await browser.get(path)).headers
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in browser.page
    assert "style=" not in browser.page


@pytest.mark.parametrize(
    "then",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "evil",
        "/ x",
        "/\r\nX: y",
        "/ü",
    ],
)
async def test_no_open_redirect(gateway: Gateway, then: str) -> None:
    """Whoever signs in stays at this gateway, whichever way the address was written."""
    browser = await gateway.set_up()
    assert (await browser.get("/login", then=then)).text.count("ostiary:admin") == 1
    other = gateway.browser()
    assert (await sign_in(other, then=then)).headers["location"] == "/login"
    third = gateway.browser()
    token = csrf_of(await third.get("/login"))
    done = await third.post("/login", csrf=token, username="admin", password=PASSWORD, then=then)
    assert done.headers["location"] == "/login"


async def test_names_are_escaped(gateway: Gateway) -> None:
    """What somebody typed is text."""
    await gateway.set_up()
    told = await sign_in(gateway.browser(), "wrong, all of it", '"><script>alert(1)</script>')
    assert "<script>" not in told.text
    assert "&lt;script&gt;" in told.text


async def test_without_tls(gateway: Gateway) -> None:
    """Nobody signs in where others read along."""
    browser = gateway.browser()
    browser.client.base_url = "http://gw.example"
    told = await browser.get("/login")
    assert (told.status_code, "without TLS" in told.text) == (400, True)


def csrf_of(page: Response) -> str:
    """The token of a page's first form."""
    return page.text.partition('name="csrf" value="')[2][:64]
