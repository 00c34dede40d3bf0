"""Grants of people: authorization code (RFC 6749 §4.1.3, RFC 7636), refresh token (§6), device code (RFC 8628 §3.4).

Each gives a login: an access token of the gateway's and a refresh token that serves once.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

from authlib.oauth2.rfc7636.challenge import CODE_VERIFIER_PATTERN, compare_s256_code_challenge
from authlib.oauth2.rfc8628 import AuthorizationPendingError, ExpiredTokenError
from authlib.oauth2.rfc8628 import SlowDownError as PollSlowerError

from ostiary.core import Secret
from ostiary.core.limit import Limiter
from ostiary.gate.attempts import network_of
from ostiary.gate.ports import Refused
from ostiary.oauth.authorize import CLI
from ostiary.oauth.errors import AccessDeniedError, InvalidClientError, InvalidGrantError, SlowDownError, of_grant
from ostiary.oauth.request import Form
from ostiary.recording import SignInEvent
from ostiary.signin.people import DeviceRequest, DeviceState, Login, Who, digest, new_secret, new_user_code, shown_code
from ostiary.signin.repository import PeopleRepository
from ostiary.signin.sessions import Logins

AUTHORIZATION_CODE: Final = "authorization_code"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - a name
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
PEOPLE_GRANTS: Final = (AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE)
#: Seconds that a device code is good, that a device waits between two polls, and that it waits more for each too many.
DEVICE_SECONDS: Final = 600.0
INTERVAL: Final = 5.0
SLOWER: Final = 5.0
#: Devices that wait at once, for all; and those that one address may begin at once, and a second.
MAX_DEVICES: Final = 1000
BEGUN: Final = 10
BEGUN_A_SECOND: Final = 0.1


class PeopleGrants:
    """Args: repository: codes and devices. logins: makes and renews logins. issuer: URL. clock: Unix seconds."""

    def __init__(self, repository: PeopleRepository, logins: Logins, issuer: str, clock: Callable[[], float]) -> None:
        self._repository = repository
        self._logins = logins
        self._issuer = issuer
        self._clock = clock
        self._begun = Limiter(clock, BEGUN_A_SECOND, BEGUN)

    async def granted(self, grant: str, form: Form) -> tuple[Login, Secret]:
        """The login, and its next refresh token. Raises OAuth2Error."""
        check_client(form)
        try:
            if grant == AUTHORIZATION_CODE:
                return await self._of_code(form)
            if grant == REFRESH_TOKEN:
                return await self._logins.renew(Secret(form.required("refresh_token")), CLI, form.source)
            return await self._of_device(form)
        except Refused as refused:
            raise of_grant(refused) from None

    async def begin_device(self, form: Form) -> dict[str, Any]:
        """The body of a device authorization response (RFC 8628 §3.2). Raises OAuth2Error."""
        check_client(form)
        host = network_of(form.source)
        if (wait := self._begun.wait(host)) > 0.0:
            raise SlowDownError(f"too many devices from this address; try again in {wait:.0f} seconds")
        self._begun.take(host)
        device_code, user_code, now = new_secret(), new_user_code(), self._clock()
        request = DeviceRequest(
            digest(device_code), user_code, CLI, form.source, now, now + DEVICE_SECONDS, INTERVAL, now - INTERVAL
        )
        if not await self._repository.add_device(request, MAX_DEVICES):
            raise SlowDownError("too many devices wait at this moment; try again in a minute")
        address = f"{self._issuer}/device"
        return {
            "device_code": device_code,
            "user_code": shown_code(user_code),
            "verification_uri": address,
            "verification_uri_complete": f"{address}?user_code={shown_code(user_code)}",
            "expires_in": int(DEVICE_SECONDS),
            "interval": int(INTERVAL),
        }

    async def revoke(self, form: Form) -> bool:
        """End the login of a refresh token; False when the token is none of ours. Raises OAuth2Error."""
        login = await self._logins.of_refresh(Secret(form.required("token")))
        if login is None:
            return False
        await self._logins.end(login, form.source)
        return True

    async def _of_code(self, form: Form) -> tuple[Login, Secret]:
        login_id = secrets.token_hex(16)
        redirect_uri, verifier = form.required("redirect_uri"), form.required("code_verifier")
        found = await self._repository.use_code(digest(form.required("code")), login_id)
        if found is None:
            raise InvalidGrantError("the code is not known")
        code, first = found
        if not first:
            # RFC 6749 §4.1.2: what a code gave is taken back when the code comes a second time.
            who = code.who
            self._logins.tell(
                SignInEvent.REUSED, who.id, who.way, form.source, client=CLI, login=code.login_id,
                why="an authorization code came a second time",
            )  # fmt: skip
            await self._logins.forget(code.login_id)
            raise InvalidGrantError("the code was used before, and what it gave is taken back")
        if self._clock() >= code.expires_at:
            raise InvalidGrantError("the code has expired")
        if redirect_uri != code.redirect_uri:
            raise InvalidGrantError("redirect_uri is another than that of the authorization request")
        if not CODE_VERIFIER_PATTERN.fullmatch(verifier) or not compare_s256_code_challenge(verifier, code.challenge):
            raise InvalidGrantError("code_verifier does not fit the code_challenge")
        return await self._logins.grant(login_id, code.who, CLI, form.source)

    async def _of_device(self, form: Form) -> tuple[Login, Secret]:
        code, now = digest(form.required("device_code")), self._clock()
        request = await self._repository.poll_device(code, now, SLOWER)
        if request is None:
            raise InvalidGrantError("the device code is not known")
        if now >= request.expires_at:
            raise ExpiredTokenError("nobody confirmed it in time")
        if now < request.polled_at + request.interval:
            raise PollSlowerError(f"ask every {request.interval + SLOWER:.0f} seconds from now on")
        match request.state, request.who:
            case DeviceState.CONFIRMED, Who() as who:
                if not await self._repository.take_device(code):
                    raise InvalidGrantError("the device code was used before")
                return await self._logins.grant(secrets.token_hex(16), who, CLI, form.source)
            case DeviceState.DENIED, _:
                await self._repository.take_device(code)
                raise AccessDeniedError("the person said no")
            case _:
                raise AuthorizationPendingError("nobody has confirmed it yet")


def check_client(form: Form) -> None:
    """Raises InvalidClientError: the public client names itself, and proves nothing."""
    if form.get("client_id") != CLI:
        raise InvalidClientError(f"this grant is for the client {CLI}", status_code=401)
