"""Credentials that this process has lent: which there are, and how one is taken back before its session ends."""

import asyncio
from dataclasses import dataclass
from typing import Final

from ostiary.control.access import Access, Caller
from ostiary.control.changes import Changes
from ostiary.control.inventory import NotFound
from ostiary.control.paging import Page, page_of
from ostiary.control.sessions import NotLive
from ostiary.credentials import LeaseEntry, LeaseService, LeaseState, RevokeFailed
from ostiary.policy import ControlAction
from ostiary.runtime.live import LiveSessions

#: Seconds to wait for the target's confirmation; asking goes on after that.
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Revoked:
    """A lease that was taken back, or is being."""

    lease_id: str
    session_id: str
    target: str
    #: Its session lived, and was ended.
    ended: bool
    #: The target has confirmed that the credential is gone; False: it is asked until it has.
    gone: bool


class LeaseControl:
    """The use-cases."""

    def __init__(self, access: Access, changes: Changes, service: LeaseService, live: LiveSessions) -> None:
        self._access = access
        self._changes = changes
        self._service = service
        self._live = live

    def list(self, caller: Caller, after: str, limit: int) -> Page[LeaseEntry]:
        """Those on targets that the caller may administer, by id."""
        entries = self._service.leases
        admitted = {
            target: self._access.permits(caller, ControlAction.ADMINISTER, target)
            for target in {entry.target for entry in entries}
        }
        found = sorted((entry.lease_id, entry) for entry in entries if admitted[entry.target])
        return page_of(found, after, limit)

    async def revoke(self, caller: Caller, lease_id: str, reason: str) -> Revoked:
        """End its session, if that lives, and have the credential taken back. `reason`: for its client and the record.

        Raises Denied, NotFound, NotLive while it is being made, ValueError for an unfit reason, OSError when it can't
        be written down.
        """
        if not reason.strip() or len(reason) > 500 or not reason.isprintable():
            raise ValueError("the reason must be one line of 1 to 500 printable characters")
        entry = next((each for each in self._service.leases if each.lease_id == lease_id), None)
        if entry is None:
            raise NotFound(f"no lease {lease_id} is out from this gateway process")
        permission = self._access.require(caller, ControlAction.ADMINISTER, entry.target)
        if entry.state is LeaseState.INTENT:
            raise NotLive(f"lease {lease_id} is being made: try again in a moment")
        before = {"state": entry.state.value, "session_id": entry.session_id, "username": entry.username}
        async with self._changes.making(permission, f"leases/{lease_id}", before, {"state": "gone"}, reason) as making:
            ended = await self._live.end(entry.session_id, caller.principal.id, reason) is not None
            gone = await self._gone(lease_id)
            making.after = {"state": "gone" if gone else "revoking"}
        return Revoked(lease_id, entry.session_id, entry.target, ended, gone)

    async def _gone(self, lease_id: str) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                await self._service.take_back(lease_id)
        except (TimeoutError, RevokeFailed):
            return False
        return True
