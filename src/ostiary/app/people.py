"""People who sign in at the gateway: what that is made of, when there is an API and the gateway has a URL."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ostiary.app.current import CurrentIdentity
from ostiary.app.ways import ways_of
from ostiary.config import Settings
from ostiary.core import Secret
from ostiary.identity.groups import GroupNames
from ostiary.oauth.authorize import AuthorizationEndpoint
from ostiary.oauth.people import PeopleGrants
from ostiary.recording import AuditLog
from ostiary.signin.admin import Admins, new_link
from ostiary.signin.passkeys import Passkeys
from ostiary.signin.passwords import Passwords
from ostiary.signin.sessions import Logins
from ostiary.signin.ways import Spend, Ways
from ostiary.store import Store


@dataclass(slots=True)
class PeopleRooms:
    """All of it."""

    logins: Logins
    admins: Admins
    passkeys: Passkeys
    authorization: AuthorizationEndpoint
    grants: PeopleGrants
    ways: Ways
    _spend: Spend

    def prepared(self, settings: Settings, names: GroupNames) -> Callable[[], None]:
        """Ways of other settings; call what comes back to put them into force. Raises OSError, ValueError."""
        ways = ways_of(settings, names, self._spend, time.time)

        def put() -> None:
            self.ways = ways

        return put


def people_of(
    stack: AsyncExitStack, settings: Settings, store: Store, audit: AuditLog, others: CurrentIdentity
) -> PeopleRooms:
    """Closed by the stack. `others`: knows the issuers. Raises OSError, ValueError."""
    passwords = Passwords()
    stack.callback(passwords.close)
    logins = Logins(store.people, store.accounts, audit.write, settings.login_lifetime, time.time, others.standing)
    admins = Admins(store.people, passwords, time.time)
    return PeopleRooms(
        logins,
        admins,
        Passkeys(admins, store.people, store.accounts.spend, settings.url, time.time),
        AuthorizationEndpoint(settings.url, store.people, time.time),
        PeopleGrants(store.people, logins, settings.url, time.time),
        ways_of(settings, others.now.names, store.accounts.spend, time.time),
        store.accounts.spend,
    )


async def first_link(settings: Settings, store: Store, people: PeopleRooms) -> Secret | None:
    """The address of a one-time link; None where somebody can sign in already."""
    admin = await people.admins.found()
    if people.ways.all() or (admin is not None and admin.ready):
        return None
    link = await new_link(store.people, time.time())
    return Secret(settings.url.encode() + link.reveal())
