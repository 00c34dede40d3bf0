"""The local administrator's one-time link, for whoever works on the gateway's host."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from ostiary.control.access import Permission
from ostiary.control.changes import Changes
from ostiary.core import Secret
from ostiary.signin.people import ADMIN
from ostiary.signin.repository import PeopleRepository


@dataclass(frozen=True, slots=True)
class LocalAdminLink:
    """What may be done with it. `permission`: whose, for the audit; it was asked for before."""

    #: Opens the state store.
    repository: Callable[[], AbstractAsyncContextManager[PeopleRepository]]
    #: Opens the audit log.
    changes: Callable[[], AbstractContextManager[Changes]]
    #: Of the gateway.
    url: str
    clock: Callable[[], float]

    async def renew(self, permission: Permission) -> Secret:
        """The address of a new link, in place of an earlier one. Raises ValueError where nobody can sign in."""
        # Its libraries take longer to load than most commands to run.
        from ostiary.signin.admin import LINK_SECONDS, new_link

        if not self.url:
            raise ValueError(
                "people sign in at the gateway's URL, and it has none: set server.url, and listen on an api"
            )
        now = self.clock()
        async with self.repository() as repository:
            before = await repository.admin(ADMIN)
            seen = {"set_up": before is not None and before.ready}
            asked = {"link_until": now + LINK_SECONDS}
            with self.changes() as changes:
                async with changes.making(permission, f"local-admins/{ADMIN}", seen, asked, "new one-time link"):
                    link = await new_link(repository, now)
        return Secret(self.url.encode() + link.reveal())
