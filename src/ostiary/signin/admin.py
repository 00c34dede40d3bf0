"""The local administrator: a one-time link to begin with, then a password.

Every failure is told in the same words after the same work, whether there is such an account or not.
"""

from collections.abc import Callable
from typing import Final

from ostiary.accounts import LOCAL_ISSUER
from ostiary.core import Principal, PrincipalKind, Refusal, RefusalKind, Secret
from ostiary.core.limit import Limiter
from ostiary.gate.attempts import network_of
from ostiary.gate.ports import Refused
from ostiary.signin.passwords import Passwords
from ostiary.signin.people import ADMIN, LocalAdmin, Passkey, digest, new_secret
from ostiary.signin.repository import PeopleRepository
from ostiary.signin.ways import refused

#: Seconds that a one-time link is good.
LINK_SECONDS: Final = 3600.0
#: Failures at once, and a second, that an address has; and that the account has, from everywhere together.
FAILURES: Final = 10
FAILURES_A_SECOND: Final = 0.1
ACCOUNT_FAILURES: Final = 50
ACCOUNT_FAILURES_A_SECOND: Final = 0.2


class Admins:
    """Signs the local administrator in.

    Args:
        repository: where the account is.
        passwords: hashes them.
        clock: Unix seconds.
    """

    def __init__(self, repository: PeopleRepository, passwords: Passwords, clock: Callable[[], float]) -> None:
        self._repository = repository
        self._passwords = passwords
        self._clock = clock
        self._sources = Limiter(clock, FAILURES_A_SECOND, FAILURES)
        self._accounts = Limiter(clock, ACCOUNT_FAILURES_A_SECOND, ACCOUNT_FAILURES)

    async def found(self) -> LocalAdmin | None:
        """The account, set up or not."""
        return await self._repository.admin(ADMIN)

    async def by_password(self, name: str, password: Secret, source: str) -> Principal:
        """Raises Refused. `source`: "ip:port"."""
        self.admit(source, self._accounts)
        admin = await self.found() if name == ADMIN else None
        if not await self._passwords.verify(admin.password if admin is not None else "", password):
            self._accounts.take(ADMIN)
            raise self.unproven(source)
        # Hashing takes its time, and whoever sets up other credentials ends only the logins that there are.
        now = await self.found()
        if admin is None or now is None or now.password != admin.password:
            raise self.unproven(source)
        return self.principal()

    async def linked(self, link: str, source: str) -> LocalAdmin:
        """Whose link it is; it stays good. Raises Refused."""
        self.admit(source)
        admin = await self.found()
        if admin is None or not admin.linked(link, self._clock()):
            self._sources.take(_host(source))
            raise refused("this link was used, or has expired", "`ostiary admin link` makes a new one")
        return admin

    async def set_password(self, link: str, password: Secret, source: str) -> Principal:
        """Use the link. Raises Refused, ValueError for a password that does not fit."""
        await self.linked(link, source)
        return await self.set_up(link, await self._passwords.hash(password), ())

    async def set_up(self, link: str, password: str, passkeys: tuple[Passkey, ...]) -> Principal:
        """Use the link for these credentials, in place of all others. Raises Refused."""
        if not await self._repository.set_up(ADMIN, digest(link), self._clock(), password, passkeys):
            raise refused("this link was used, or has expired", "`ostiary admin link` makes a new one")
        return self.principal()

    def admit(self, source: str, *more: Limiter) -> None:
        """Raises Refused after too many failures."""
        wait = max([self._sources.wait(_host(source)), *(each.wait(ADMIN) for each in more)])
        if wait > 0.0:
            raise Refused(
                Refusal(RefusalKind.CAPACITY, "sign-in refused: too many attempts failed", f"try again in {wait:.0f} s")
            )

    def unproven(self, source: str) -> Refused:
        """One more failure."""
        self._sources.take(_host(source))
        return refused("that is not an account and its password or passkey", "try again")

    @staticmethod
    def principal() -> Principal:
        """Who they are; a login says for how long."""
        return Principal(PrincipalKind.HUMAN, LOCAL_ISSUER, ADMIN, frozenset(), 0.0, 0.0, "local")


async def new_link(repository: PeopleRepository, now: float) -> Secret:
    """The path of a one-time link, in place of an earlier one."""
    link = new_secret()
    await repository.offer_link(ADMIN, digest(link), now + LINK_SECONDS)
    return Secret(f"/setup/{link}")


def _host(source: str) -> str:
    return network_of(source)
