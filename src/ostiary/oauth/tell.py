"""Access tokens in the audit log: those issued, before they are given; those revoked; some of those refused."""

from collections.abc import Callable
from typing import Final

import structlog

from ostiary.accounts.clients import Client
from ostiary.accounts.issued import Issued
from ostiary.accounts.refused import FewLines
from ostiary.core import Principal
from ostiary.oauth.errors import OAuth2Error, UnavailableError
from ostiary.oauth.request import Form
from ostiary.recording import AccessToken, TokenEvent

log = structlog.get_logger()

#: What a device that waits is told again and again (RFC 8628 §3.5): nothing was decided.
_UNDECIDED: Final = ("authorization_pending", "slow_down")
_TEXT: Final = 256


class TellsTokens:
    """Writes the lines.

    Args:
        write: `AuditLog.write`.
        clock: Unix seconds.
    """

    def __init__(self, write: Callable[[AccessToken], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._refused = FewLines(write, clock)

    def issued(
        self,
        form: Form,
        principal: Principal,
        client_id: str,
        targets: tuple[str, ...],
        jti: str,
        expires_at: float,
    ) -> None:
        """A token is about to be given. Raises UnavailableError: it must not be then."""
        grant = form.get("grant_type")
        line = AccessToken(TokenEvent.ISSUED, client_id, principal.id, grant, targets, jti, expires_at, form.source, "")
        try:
            self._write(line)
        except OSError as error:
            log.warning("the audit log could not be written: no token was issued", error=str(error))
            raise UnavailableError("no token can be recorded now, so none is issued") from None

    def refused(self, form: Form, client: Client | None, grant: str, error: OAuth2Error) -> None:
        """A request got none: a bounded number of lines, which count the others. `grant`: empty for an unknown one."""
        if error.error in _UNDECIDED:
            return
        name = client.account.name if client is not None else ""
        why = f"{error.error}: {error.description or ''}".removesuffix(": ")[:_TEXT]
        self._refused.tell(
            lambda more: AccessToken(TokenEvent.REFUSED, name, "", grant, (), "", 0.0, form.source, why + more)
        )

    def revoked(self, form: Form, issued: Issued) -> None:
        """A token is good no more, whether or not that can be written."""
        who, jti, ends = issued.principal.id, issued.jti, issued.expires_at
        line = AccessToken(TokenEvent.REVOKED, issued.client_id, who, "", issued.targets, jti, ends, form.source, "")
        try:
            self._write(line)
        except OSError as error:
            log.warning("the audit log could not be written: a revoked token is not in it", error=str(error))
