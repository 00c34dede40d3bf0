"""What was changed through a running gateway, and what was done through it, as its logs tell. Nothing is verified."""

from pathlib import Path

from ostiary.control.access import Access, Caller
from ostiary.control.paging import Page, Reader
from ostiary.policy import ControlAction
from ostiary.recording import AuditFilter, Changed, CommandFound, changes, commands


class ChangeHistory:
    """The use-cases."""

    def __init__(self, access: Access, directory: Path, reader: Reader) -> None:
        """`directory`: of recordings."""
        self._access = access
        self._directory = directory
        self._reader = reader

    async def list(self, caller: Caller, wanted: AuditFilter, after: str, limit: int) -> Page[Changed]:
        """Changes, newest first. Raises Denied, ValueError for a position that is none, OSError."""
        self._access.require(caller, ControlAction.AUDIT)
        return Page(*await self._reader.read(lambda: changes(self._directory, wanted, after, limit)))

    async def commands(self, caller: Caller, wanted: AuditFilter, after: str, limit: int) -> Page[CommandFound]:
        """Commands of sessions whose target the caller may audit, of the newest session first.

        Raises ValueError for a position that is none, OSError.
        """
        admitted: dict[str, bool] = {}

        def admits(target: str) -> bool:
            if target not in admitted:
                admitted[target] = self._access.permits(caller, ControlAction.AUDIT, target)
            return admitted[target]

        found = await self._reader.read(lambda: commands(self._directory, wanted, admits, after, limit))
        return Page(found.items, found.next)
