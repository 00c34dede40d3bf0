"""Logins made, found, renewed and ended; each of these is in the audit log, and is not done when it can't be."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ostiary.accounts import AccountRepository
from ostiary.core import Refusal, RefusalKind, Secret
from ostiary.gate.ports import Refused
from ostiary.recording import SignIn, SignInEvent
from ostiary.signin.people import BROWSER, Login, Who, digest, new_secret, parts_of, refresh_token
from ostiary.signin.repository import PeopleRepository
from ostiary.signin.ways import refused

#: Open logins of one person.
MAX_LOGINS: Final = 64
#: Seconds that clocks may be apart, and a session outlive its token.
_BEYOND: Final = 3600.0
#: Seconds between two notes of a browser's use.
_NOTED: Final = 60.0
#: Claim of a person with the standing of their issuer when they signed in.
_STANDING: Final = "standing"


class Logins:
    """All of them.

    Args:
        repository: where they are.
        accounts: remembers those that were ended, for as long as tokens of theirs could be good.
        audit: writes a line; what it raises keeps the login from being made.
        lifetime: seconds that a login lasts at most.
        clock: Unix seconds.
        standing: as of `Tokens`: a login made at an issuer that was removed or changed since is good no more.
    """

    def __init__(
        self,
        repository: PeopleRepository,
        accounts: AccountRepository,
        audit: Callable[[SignIn], None],
        lifetime: float,
        clock: Callable[[], float],
        standing: Callable[[str], str],
    ) -> None:
        self._repository = repository
        self._accounts = accounts
        self._audit = audit
        self._lifetime = lifetime
        self._clock = clock
        self._standing = standing

    def tell(
        self, event: SignInEvent, who: str, way: str, source: str, *, client: str = "", login: str = "", why: str = ""
    ) -> None:
        """Write a line into the audit log. Raises OSError."""
        self._audit(SignIn(event, who, way, client, source, login, why))

    async def begin(self, who: Who, source: str) -> tuple[Login, Secret]:
        """A browser's login, and the value of its cookie. Raises Refused, OSError."""
        cookie = new_secret()
        who = replace(who, claims={**who.claims, _STANDING: self._standing(who.issuer)})
        return await self._made(secrets.token_hex(16), cookie, "", BROWSER, who, source), Secret(cookie)

    async def grant(self, login_id: str, who: Who, client: str, source: str) -> tuple[Login, Secret]:
        """A client's login, and its first refresh token. Raises Refused, OSError."""
        handle, secret = new_secret(), new_secret()
        login = await self._made(login_id, handle, digest(secret), client, who, source)
        return login, refresh_token(handle, secret)

    async def of_cookie(self, cookie: str) -> Login | None:
        """The login of a browser, if it is good."""
        login = await self._open(cookie)
        if login is None or login.client != BROWSER:
            return None
        now = self._clock()
        if now >= login.seen_at + _NOTED:
            await self._repository.seen(login.login_id, now)
        return login

    async def renew(self, token: Secret, client: str, source: str) -> tuple[Login, Secret]:
        """A refresh token's login, and the token that follows it. Raises Refused.

        A token that is not the last one was stolen, or its successor was: nobody keeps the login (RFC 9700 §4.14.2).
        """
        parts = parts_of(token)
        login = await self._open(parts[0]) if parts is not None else None
        if parts is None or login is None or login.client != client:
            raise refused("the refresh token is good no more", "log in again")
        secret = new_secret()
        current = hmac.compare_digest(digest(parts[1]), login.secret)
        if not current or not await self._repository.rotate(login.login_id, login.secret, digest(secret)):
            await self.end(login, source, SignInEvent.REUSED, "a refresh token came a second time")
            raise refused("the refresh token was used before, and its login is ended", "log in again")
        return login, refresh_token(parts[0], secret)

    async def of_refresh(self, token: Secret) -> Login | None:
        """The login that a refresh token belongs to, used or not."""
        parts = parts_of(token)
        return await self._open(parts[0]) if parts is not None else None

    async def end(self, login: Login, source: str, event: SignInEvent = SignInEvent.SIGNED_OUT, why: str = "") -> None:
        """Nothing it gave is good any more; its sessions end within seconds."""
        await self._spend(login.login_id)
        if await self._repository.end_login(login.login_id):
            who = login.who
            self.tell(event, who.id, who.way, source, client=login.client, login=login.login_id, why=why)

    async def forget(self, login_id: str) -> None:
        """Nothing of this login is good any more, should it be made at this very moment."""
        await self._spend(login_id)
        await self._repository.end_login(login_id)

    async def end_all(self, who: Who, source: str, why: str) -> None:
        """Every login of a person."""
        for login in await self._repository.end_all(who.issuer, who.subject):
            await self._spend(login.login_id)
            self.tell(
                SignInEvent.SIGNED_OUT,
                who.id,
                login.who.way,
                source,
                client=login.client,
                login=login.login_id,
                why=why,
            )

    async def _spend(self, login_id: str) -> None:
        now = self._clock()
        await self._accounts.spend(f"login:{login_id}", now + self._lifetime + _BEYOND, now)

    async def _made(self, login_id: str, handle: str, secret: str, client: str, who: Who, source: str) -> Login:
        if not self._stands(who):
            raise refused("your identity provider was removed or changed since you signed in", "sign in again")
        now = self._clock()
        login = Login(login_id, digest(handle), secret, client, who, source, now, now, now + self._lifetime)
        event = SignInEvent.SIGNED_IN if client == BROWSER else SignInEvent.GRANTED
        self.tell(event, who.id, who.way, source, client=client, login=login_id)
        if not await self._repository.add_login(login, MAX_LOGINS):
            raise Refused(
                Refusal(
                    RefusalKind.CAPACITY,
                    f"sign-in refused: you are signed in {MAX_LOGINS} times",
                    "log out somewhere, or wait until a login ends",
                )
            )
        return login

    async def _open(self, handle: str) -> Login | None:
        login = await self._repository.login(digest(handle))
        if login is None or not login.open(self._clock()) or not self._stands(login.who):
            return None
        # Ended while it was being made.
        return None if await self._accounts.spent([f"login:{login.login_id}"]) else login

    def _stands(self, who: Who) -> bool:
        standing = self._standing(who.issuer)
        return standing != "" and who.claims.get(_STANDING) == standing
