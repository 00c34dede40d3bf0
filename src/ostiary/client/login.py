"""Logging a person in at the gateway.

By authorization code with PKCE through a browser on this machine (RFC 8252), or by a code that is typed in on another
one (RFC 8628).
"""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from ostiary.client.loopback import listening
from ostiary.client.oauth import CLIENT_ID, Granted, OAuthFailed, Server, origin
from ostiary.client.requests import SECONDS, RequestFailed, ask
from ostiary.core import Secret, printable

#: Seconds for a person to log in, and the most that a device code is waited for.
PATIENCE: Final = 300.0
_LONGEST_DEVICE: Final = 1800.0
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
#: RFC 8628 §3.2, §3.5: the interval where none is told, and what it grows by.
_INTERVAL: Final = 5.0
_LONGEST_INTERVAL: Final = 60.0
_MAX_TEXT: Final = 300


async def by_browser(server: Server, show: Callable[[str], None], patience: float = PATIENCE) -> Granted:
    """Wait for a person to log in with a browser.

    Args:
        server: the gateway.
        show: is given the address that the browser must go to.
        patience: seconds.

    Raises:
        OAuthFailed: nobody did.
        OSError: there is no port to listen on.
    """
    endpoint = server.endpoint("authorization_endpoint", "login with a browser")
    # 256 bits each; the verifier is the one that nobody sees (RFC 7636 §7.1).
    state, verifier = Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(32))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.reveal()).digest()).rstrip(b"=").decode()
    async with listening(state, server.issuer) as waiting:
        parameters = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": waiting.redirect_uri,
            "state": state.reveal_text(),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        show(f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(parameters)}")
        try:
            async with asyncio.timeout(patience):
                code = await waiting.answered
        except TimeoutError:
            raise OAuthFailed(
                f"nobody logged in within {patience:.0f} seconds",
                "try again; `--device` needs no browser on this machine",
            ) from None
        # While the browser still waits for its page.
        return await server.grant(
            {
                "grant_type": "authorization_code",
                "code": code.reveal_text(),
                "redirect_uri": waiting.redirect_uri,
                "client_id": CLIENT_ID,
                "code_verifier": verifier.reveal_text(),
            }
        )


async def by_device(
    server: Server,
    show: Callable[[str, str], None],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Granted:
    """Wait for a person to log in on any machine.

    Args:
        server: the gateway.
        show: is given the address to go to, and the code to type in there.
        pause: waits so many seconds.

    Raises:
        OAuthFailed: nobody did.
    """
    endpoint = server.endpoint("device_authorization_endpoint", "login with a device code")
    said = await server.post(endpoint, {"client_id": CLIENT_ID})
    device, code, address = (said.get(name) for name in ("device_code", "user_code", "verification_uri"))
    if not (isinstance(device, str) and device and isinstance(code, str) and code and isinstance(address, str)):
        raise OAuthFailed(f"{server.issuer} gave no device code", "is it a gateway?")
    try:
        elsewhere = origin(address) != origin(server.issuer)
    except ValueError:
        elsewhere = True
    if elsewhere:
        raise OAuthFailed(
            f"{server.issuer} sends people to another host: {printable(address[:_MAX_TEXT])}", "don't go there"
        )
    interval = _seconds(said.get("interval"), _INTERVAL, _LONGEST_INTERVAL)
    left = _seconds(said.get("expires_in"), PATIENCE, _LONGEST_DEVICE)
    show(printable(address[:_MAX_TEXT]), printable(code[:64]))
    form = {"grant_type": _DEVICE_GRANT, "device_code": device, "client_id": CLIENT_ID}
    put_off: OAuthFailed | None = None
    while left > 0:
        await pause(interval)
        left -= interval
        try:
            return await server.grant(form)
        except OAuthFailed as error:
            match error.code:
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval += _INTERVAL
                case "" | "temporarily_unavailable":
                    # RFC 8628 §3.5: a connection that fails is tried again, more slowly each time.
                    put_off = error
                    interval = min(interval * 2, _LONGEST_INTERVAL)
                case "expired_token":
                    break
                case "invalid_grant" if put_off is not None:
                    # The code was taken when that happened, so that is why there is no login.
                    raise put_off from None
                case "access_denied":
                    raise OAuthFailed("the login was refused by who was asked for it", "try again") from None
                case _:
                    raise
    raise OAuthFailed("nobody logged in before the code ended", "try again")


async def who(api: str, access: Secret, ca: str | None) -> Mapping[str, Any]:
    """What the gateway says of the token's bearer: `GET /api/v1/me`. Raises OAuthFailed, ValueError."""
    headers = {"Authorization": f"Bearer {access.reveal_text()}"}
    try:
        answer = await ask("GET", f"{api}/api/v1/me", headers, ca=ca, seconds=SECONDS)
        said = json.loads(answer.body)
    except RequestFailed as error:
        raise OAuthFailed(f"{api}: {error}", "try again") from None
    except (ValueError, RecursionError):
        said = None
    if answer.status != 200 or not isinstance(said, dict) or not isinstance(said.get("principal"), str):
        raise OAuthFailed(f"{api} answered with status {answer.status}, and not who you are", "is it a gateway's API?")
    return said


def _seconds(value: object, default: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return default
    return min(float(value), most)
