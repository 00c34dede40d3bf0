"""Passkeys: registered with a one-time link, then a way in; and what is tried against them."""

import json
from typing import Any

import pytest

from ostiary.recording import SignInEvent
from ostiary.signin.passkeys import CHALLENGE_SECONDS, Passkeys
from tests.signin.authenticator import Authenticator
from tests.signin.people_kit import PASSWORD, URL, Browser, Gateway

WRONG = "that is not an account and its password or passkey"


def authenticator(**settings: Any) -> Authenticator:
    """A good one."""
    return Authenticator(**{"origin": URL, "rp_id": "gw.example", **settings})


async def options(browser: Browser, path: str) -> dict[str, Any]:
    """What the page's script is told; the page stays what it is."""
    page = browser.page
    response = await browser.send(f"{path}/options")
    browser.page = page
    assert response.status_code == 200, response.text
    return dict(json.loads(response.text))


async def register(gateway: Gateway, device: Authenticator) -> Browser:
    """With a new link."""
    browser, link = gateway.browser(), await gateway.link()
    await browser.get(link)
    asked = await options(browser, f"{link}/passkey")
    assert (asked["rp"]["id"], asked["authenticatorSelection"]["userVerification"]) == ("gw.example", "required")
    done = await browser.send(f"{link}/passkey", credential=device.create(asked))
    assert done.status_code == 303, done.text
    return browser


async def asked(gateway: Gateway, address: str = "192.0.2.7") -> tuple[Browser, dict[str, Any]]:
    """A browser at the login page, and what its authenticator is asked."""
    browser = gateway.browser(address)
    await browser.get("/login")
    return browser, await options(browser, "/login/passkey")


async def enters(browser: Browser, credential: str) -> bool:
    """Does it let the browser in?"""
    page = browser.page
    done = await browser.send("/login/passkey", credential=credential)
    browser.page = page
    if done.status_code == 303:
        return True
    assert (done.status_code, WRONG in done.text) == (401, True)
    return False


async def test_there_and_back(gateway: Gateway) -> None:
    """The link is used, the password is none, and the passkey is a way in as often as it is used."""
    device = authenticator()
    first = await register(gateway, device)
    assert "ostiary:admin" in (await first.get("/login")).text
    for _ in range(2):
        browser, wanted = await asked(gateway)
        assert wanted["userVerification"] == "required"
        assert wanted["allowCredentials"] == []
        assert await enters(browser, device.get(wanted))
    await (other := gateway.browser()).get("/login")
    assert (await other.send("/login", username="admin", password=PASSWORD)).status_code == 401
    assert {line.way for line in gateway.events(SignInEvent.SIGNED_IN)} == {"passkey"}


async def test_a_challenge_counts_once(gateway: Gateway) -> None:
    """The same answer again is none."""
    device = authenticator(counts=False)
    await register(gateway, device)
    browser, wanted = await asked(gateway)
    answer = device.get(wanted)
    assert await enters(browser, answer)
    replay = gateway.browser()
    replay.client.cookies = browser.client.cookies
    await replay.get("/login")
    assert not await enters((await asked(gateway))[0], answer)


async def test_challenges_end_and_belong_to_a_browser(gateway: Gateway) -> None:
    """Five minutes, this browser, this purpose."""
    device = authenticator(counts=False)
    await register(gateway, device)
    one, wanted = await asked(gateway)
    other, _ = await asked(gateway)
    assert not await enters(other, device.get(wanted))
    gateway.clock.now += CHALLENGE_SECONDS
    assert not await enters(one, device.get(wanted))
    link = await gateway.link()
    await one.get(link)
    wanted = await options(one, f"{link}/passkey")
    await one.get("/login")
    assert not await enters(one, device.get(wanted))
    wanted = await options(one, "/login/passkey")
    assert await enters(one, device.get(wanted))


@pytest.mark.parametrize(
    "settings",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://gw.example"},
        {"origin": f"{URL}:8443"},
        {"rp_id": "evil.example"},
        {"verified": False},
    ],
)
async def test_other_sites_and_nobody_verified(gateway: Gateway, settings: dict[str, Any]) -> None:
    """Neither to register nor to sign in."""
    device, browser = authenticator(), gateway.browser()
    link = await gateway.link()
    await browser.get(link)
    bad = authenticator(key=device.key, credential_id=device.credential_id, **settings)
    told = await browser.send(f"{link}/passkey", credential=bad.create(await options(browser, f"{link}/passkey")))
    assert (told.status_code, "could not be registered" in told.text) == (403, True)
    await register(gateway, device)
    browser, wanted = await asked(gateway)
    assert not await enters(browser, bad.get(wanted))


async def test_a_copy_of_an_authenticator(gateway: Gateway) -> None:
    """Whose counter does not go up is refused (WebAuthn §6.1.1)."""
    device = authenticator()
    await register(gateway, device)
    copy = authenticator(key=device.key, credential_id=device.credential_id)
    for _ in range(2):
        browser, wanted = await asked(gateway)
        assert await enters(browser, device.get(wanted))
    browser, wanted = await asked(gateway)
    assert not await enters(browser, copy.get(wanted))


async def test_another_key(gateway: Gateway) -> None:
    """The signature decides; an unknown credential reads the same."""
    device = authenticator()
    await register(gateway, device)
    for stranger in (authenticator(credential_id=device.credential_id), authenticator()):
        browser, wanted = await asked(gateway)
        assert not await enters(browser, stranger.get(wanted))


@pytest.mark.parametrize(
    "credential", ["", "null", "[]", "{}", '{"id": "x", "response": {}}', '{"id": 1}', "\x00", "{" * 5000, "[" * 20000]
)
async def test_nonsense(gateway: Gateway, credential: str) -> None:
    """Is refused like any other failure."""
    await register(gateway, authenticator())
    browser, _ = await asked(gateway)
    assert not await enters(browser, credential)


async def test_a_used_link_registers_nothing(gateway: Gateway) -> None:
    """Of two who use it, one."""
    device, browser = authenticator(), gateway.browser()
    link = await gateway.link()
    await browser.get(link)
    wanted = await options(browser, f"{link}/passkey")
    page = browser.page
    assert (await browser.send(link, password=PASSWORD, again=PASSWORD)).status_code == 303
    late = gateway.browser()
    late.page = page
    assert (await late.send(f"{link}/passkey", credential=device.create(wanted))).status_code == 403
    admin = await gateway.store.people.admin("admin")
    assert admin is not None
    assert admin.passkeys == ()


@pytest.mark.parametrize(
    ("url", "offered"),
    [(URL, True), ("https://localhost:8443", True), ("https://127.0.0.1:8443", False), ("https://[::1]", False)],
)
async def test_addresses_have_none(gateway: Gateway, url: str, offered: bool) -> None:
    """A relying party has a name."""
    store = gateway.store
    passkeys = Passkeys(None, store.people, store.accounts.spend, url, gateway.clock)  # type: ignore[arg-type]
    assert passkeys.offered is offered
