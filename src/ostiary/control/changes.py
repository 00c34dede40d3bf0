"""The audit trail of changes: each is written down before it is made, and again when it was."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from ostiary.approvals import ApprovalError
from ostiary.control.access import Permission
from ostiary.recording import Change, ChangeStage


@dataclass(slots=True)
class Making:
    """A change that is being made. Set `after` to what came of it."""

    after: Mapping[str, Any]


class Changes:
    """Writes changes into the audit log.

    Args:
        write: `AuditLog.write`. What it raises keeps a change from being made.
    """

    def __init__(self, write: Callable[[Change], None]) -> None:
        self._write = write

    @asynccontextmanager
    async def making(
        self,
        permission: Permission,
        resource: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        reason: str = "",
    ) -> AsyncIterator[Making]:
        """Make a change within this. `resource`: "sessions/5f2c…". Raises OSError when it can't be written down.

        No secret may stand in `before`, `after` or `reason`.
        """
        caller = permission.caller
        asked = Change(
            ChangeStage.ASKED,
            secrets.token_hex(8),
            caller.principal.id,
            caller.principal.proof_id,
            caller.source,
            permission.action.value,
            resource,
            permission.rules,
            reason,
            before,
            after,
        )
        self._write(asked)
        making = Making(after)
        try:
            yield making
        except BaseException as error:
            # An error's text may quote what it choked on; those of the desk are made to be shown.
            why = str(error) if isinstance(error, ApprovalError) else type(error).__name__
            self._write(replace(asked, stage=ChangeStage.FAILED, reason=why))
            raise
        self._write(replace(asked, stage=ChangeStage.DONE, after=making.after))
