"""Passkeys of the local administrator (WebAuthn level 2), with user verification.

A challenge is made for one browser and one purpose, is good for five minutes, and counts once. It carries a MAC under
the browser's own secret, so nothing is kept until it is spent.
"""

import hashlib
import hmac
import ipaddress
import json
import secrets
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ostiary.core import Principal
from ostiary.signin.admin import Admins
from ostiary.signin.people import ADMIN, Passkey, digest
from ostiary.signin.repository import PeopleRepository
from ostiary.signin.ways import refused

Purpose = Literal["register", "sign-in"]
#: Seconds that a challenge is good.
CHALLENGE_SECONDS: Final = 300.0
_HEAD: Final = struct.Struct(">16sd")


class Passkeys:
    """Registers and verifies them.

    Args:
        admins: whose they are.
        repository: where they are.
        spend: of all who spend the same id one gets True, as of `AccountRepository`.
        url: of the gateway; its host is the relying party's id.
        clock: Unix seconds.
    """

    def __init__(
        self,
        admins: Admins,
        repository: PeopleRepository,
        spend: Callable[[str, float, float], Awaitable[bool]],
        url: str,
        clock: Callable[[], float],
    ) -> None:
        self._admins = admins
        self._repository = repository
        self._spend = spend
        self._clock = clock
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""

    @property
    def offered(self) -> bool:
        """Can there be any? A relying party has a name, never an address (WebAuthn §5.1.2)."""
        try:
            ipaddress.ip_address(self._host)
        except ValueError:
            return True
        return False

    def registration_options(self, browser: str) -> str:
        """JSON for `navigator.credentials.create`. `browser`: its secret."""
        made = generate_registration_options(
            rp_id=self._host,
            rp_name="Ostiary",
            user_name=ADMIN,
            user_id=hashlib.sha256(f"{self._origin} {ADMIN}".encode()).digest(),
            challenge=self._challenge(browser, "register"),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
        )
        return options_to_json(made)

    def authentication_options(self, browser: str) -> str:
        """JSON for `navigator.credentials.get`: it names no credential, whoever asks."""
        made = generate_authentication_options(
            rp_id=self._host,
            challenge=self._challenge(browser, "sign-in"),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(made)

    async def register(self, link: str, credential: str, browser: str, source: str) -> Principal:
        """Use a one-time link for a passkey, in place of what there was. Raises Refused."""
        await self._admins.linked(link, source)
        try:
            made = verify_registration_response(
                credential=credential,
                expected_challenge=await self._spent(credential, browser, "register"),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError, RecursionError):
            raise refused("the passkey could not be registered", "load the page again") from None
        passkey = Passkey(
            bytes_to_base64url(made.credential_id), bytes_to_base64url(made.credential_public_key), made.sign_count
        )
        return await self._admins.set_up(link, "", (passkey,))

    async def sign_in(self, credential: str, browser: str, source: str) -> Principal:
        """Raises Refused, in the same words as for a password."""
        self._admins.admit(source)
        admin = await self._admins.found()
        known = admin.passkeys if admin is not None else ()
        try:
            challenge = await self._spent(credential, browser, "sign-in")
            used = next(each for each in known if each.credential_id == json.loads(credential)["id"])
            done = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=base64url_to_bytes(used.public_key),
                credential_current_sign_count=used.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError, RecursionError, StopIteration):
            raise self._admins.unproven(source) from None
        counted = tuple(replace(each, sign_count=done.new_sign_count) if each is used else each for each in known)
        if counted != known and not await self._repository.count_passkey(ADMIN, known, counted):
            raise self._admins.unproven(source)
        return self._admins.principal()

    def _challenge(self, browser: str, purpose: Purpose) -> bytes:
        head = _HEAD.pack(secrets.token_bytes(16), self._clock())
        return head + _mac(browser, purpose, head)

    async def _spent(self, credential: str, browser: str, purpose: Purpose) -> bytes:
        """The challenge that was answered, made for this browser and not answered before. Raises ValueError."""
        said: Any = json.loads(base64url_to_bytes(json.loads(credential)["response"]["clientDataJSON"]))
        challenge = base64url_to_bytes(said["challenge"])
        head, mac = challenge[: _HEAD.size], challenge[_HEAD.size :]
        if not hmac.compare_digest(mac, _mac(browser, purpose, head)):
            raise ValueError("not a challenge of this browser's")
        made, now = float(_HEAD.unpack(head)[1]), self._clock()
        if not 0 <= now - made < CHALLENGE_SECONDS:
            raise ValueError("it took too long")
        if not await self._spend(f"challenge:{digest(challenge)}", made + CHALLENGE_SECONDS, now):
            raise ValueError("it was answered before")
        return challenge


def _mac(browser: str, purpose: Purpose, head: bytes) -> bytes:
    return hmac.new(browser.encode(), b"passkey " + purpose.encode() + head, hashlib.sha256).digest()
