"""Logging a device in by a code that is typed in elsewhere (RFC 8628), and what is tried against it."""

from typing import Any

import pytest
from httpx2 import Response

from ostiary.oauth import PEOPLE_PATHS
from ostiary.oauth.authorize import CLI
from ostiary.oauth.people import BEGUN, DEVICE_CODE, DEVICE_SECONDS, INTERVAL
from ostiary.recording import SignInEvent
from ostiary.signin.people import new_user_code, typed_code
from tests.signin.people_kit import URL, Browser, Gateway

DEVICE = "198.51.100.77"


async def begin(gateway: Gateway, **changes: str) -> Response:
    """From the device."""
    path = PEOPLE_PATHS["device_authorization_endpoint"]
    return await gateway.browser(DEVICE).post(path, **{"client_id": CLI, **changes})


async def begun(gateway: Gateway) -> dict[str, Any]:
    """A device that waits."""
    response = await begin(gateway)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def poll(gateway: Gateway, code: str) -> Any:
    """What the token endpoint says."""
    return (await gateway.token({"grant_type": DEVICE_CODE, "client_id": CLI, "device_code": code}, DEVICE)).json()


async def decide(browser: Browser, code: str, decision: str = "allow") -> Response:
    """As a person does."""
    await browser.get("/device")
    assert (await browser.send("/device", user_code=code)).status_code == 200
    return await browser.send("/device/decide", decision=decision)


async def test_there_and_back(gateway: Gateway) -> None:
    """The device waits, the person sees who asks and from where, and the device is that person."""
    waiting = await begun(gateway)
    assert waiting["verification_uri"] == f"{URL}/device"
    assert (waiting["expires_in"], waiting["interval"]) == (600, 5)
    assert (await poll(gateway, waiting["device_code"]))["error"] == "authorization_pending"
    browser = await gateway.set_up()
    page = await browser.get(waiting["verification_uri_complete"].removeprefix(URL))
    assert f'value="{waiting["user_code"]}"' in page.text
    shown = await browser.send("/device", user_code=waiting["user_code"].lower().replace("-", " "))
    for text in (CLI, DEVICE, waiting["user_code"], "ostiary:admin"):
        assert text in shown.text
    assert "logged in as you" in (await browser.send("/device/decide", decision="allow")).text
    gateway.clock.now += INTERVAL
    given = await poll(gateway, waiting["device_code"])
    assert (await gateway.who(given["access_token"])).id == "ostiary:admin"
    assert (await gateway.refresh(given["refresh_token"])).status_code == 200
    (line,) = gateway.events(SignInEvent.CONFIRMED)
    assert (line.by, line.reason.startswith(f"for {DEVICE}:")) == ("ostiary:admin", True)
    gateway.clock.now += INTERVAL
    assert (await poll(gateway, waiting["device_code"]))["error"] == "invalid_grant"


async def test_a_link_alone_confirms_nothing(gateway: Gateway) -> None:
    """Whoever is sent a link with a code still has to look and to say so; who is not signed in signs in first."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    await browser.get(f"/device?user_code={waiting['user_code']}")
    assert (await poll(gateway, waiting["device_code"]))["error"] == "authorization_pending"
    sent = await gateway.browser().get(f"/device?user_code={waiting['user_code']}")
    assert sent.headers["location"] == f"/login?then=%2Fdevice%3Fuser_code%3D{waiting['user_code']}"


async def test_no(gateway: Gateway) -> None:
    """The device is told; nobody can change their mind."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    assert "gets nothing" in (await decide(browser, waiting["user_code"], "deny")).text
    assert (await poll(gateway, waiting["device_code"]))["error"] == "access_denied"
    gateway.clock.now += INTERVAL
    assert (await poll(gateway, waiting["device_code"]))["error"] == "invalid_grant"
    assert len(gateway.events(SignInEvent.DENIED)) == 1


async def test_decided_once(gateway: Gateway) -> None:
    """A code that was used is no code any more."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    await decide(browser, waiting["user_code"])
    await browser.get("/device")
    told = await browser.send("/device", user_code=waiting["user_code"])
    assert (told.status_code, "no such code" in told.text) == (422, True)


async def test_slow_down(gateway: Gateway) -> None:
    """Each poll that comes too early makes the next wait longer."""
    waiting = await begun(gateway)
    code = waiting["device_code"]
    assert (await poll(gateway, code))["error"] == "authorization_pending"
    gateway.clock.now += INTERVAL - 1
    assert (await poll(gateway, code))["error"] == "slow_down"
    gateway.clock.now += INTERVAL
    assert (await poll(gateway, code))["error"] == "slow_down"
    gateway.clock.now += INTERVAL + 10
    assert (await poll(gateway, code))["error"] == "authorization_pending"


async def test_it_ends(gateway: Gateway) -> None:
    """After ten minutes, for the device and for the person."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    gateway.clock.now += DEVICE_SECONDS
    assert (await poll(gateway, waiting["device_code"]))["error"] == "expired_token"
    await browser.get("/device")
    assert (await browser.send("/device", user_code=waiting["user_code"])).status_code == 422


async def test_guessing(gateway: Gateway) -> None:
    """A few wrong codes, then none for a minute, the right one included."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    for _ in range(5):
        await browser.get("/device")
        assert (await browser.send("/device", user_code="BCDF-GHJK")).status_code == 422
    await browser.get("/device")
    assert "too many wrong codes" in (await browser.send("/device", user_code=waiting["user_code"])).text
    gateway.clock.now += 60
    await browser.get("/device")
    assert (await browser.send("/device", user_code=waiting["user_code"])).status_code == 200


async def test_guessing_at_the_last_step(gateway: Gateway) -> None:
    """The form that decides is no way around the measure of the one before."""
    waiting = await begun(gateway)
    browser = await gateway.set_up()
    for _ in range(5):
        await browser.get("/device")
        assert (await browser.send("/device/decide", user_code="BCDF-GHJK", decision="allow")).status_code == 403
    await browser.get("/device")
    told = await browser.send("/device/decide", user_code=waiting["user_code"], decision="allow")
    assert "too many wrong codes" in told.text
    assert (await poll(gateway, waiting["device_code"]))["error"] == "authorization_pending"


async def test_too_many_devices(gateway: Gateway) -> None:
    """From one address."""
    for _ in range(BEGUN):
        await begun(gateway)
    told = await begin(gateway)
    assert (told.status_code, told.json()["error"]) == (429, "temporarily_unavailable")


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"client_id": "other"}, "invalid_client"), ({"client_id": ""}, "invalid_client")],
)
async def test_strangers(gateway: Gateway, changes: dict[str, str], error: str) -> None:
    """Only the client that there is."""
    assert (await begin(gateway, **changes)).json()["error"] == error


def test_codes() -> None:
    """Eight letters that can't be mixed up; typed as people type."""
    codes = {new_user_code() for _ in range(200)}
    assert len(codes) == 200
    assert not set("".join(codes)) & set("AEIOUY0123456789")
    assert typed_code(" bcdf-ghjk ") == "BCDFGHJK"
    for text in ("", "BCDFGHJ", "BCDFGHJKL", "ABCDEFGH", "B" * 1000):
        assert typed_code(text) == ""
