"""`static`: one configured account, lent to every session as it is."""

from collections.abc import Collection

from ostiary.core import Lease
from ostiary.credentials.config import StaticCredential
from ostiary.credentials.issuer import IssueFailed, SweepReport
from ostiary.credentials.source import SecretUnavailable


class StaticIssuer:
    """Reads the password at every lease, so that a rotated one is used by the next session."""

    kind = "static"

    def __init__(self, credential: StaticCredential) -> None:
        self._credential = credential

    def username(self, lease_id: str) -> str:
        """The configured account."""
        del lease_id
        return self._credential.username

    async def issue(self, lease_id: str, until: float) -> Lease:
        """The account and its password. Raises IssueFailed."""
        del until
        source = self._credential.password
        try:
            password = None if source is None else source.read()
        except SecretUnavailable as error:
            raise IssueFailed(
                "the gateway could not read its password for this target",
                "the gateway's log names the source that is missing",
                clean=True,
            ) from error
        return Lease(lease_id, self._credential.username, password, self.kind)

    async def revoke(self, lease_id: str, username: str) -> str:
        """There is nothing to take back."""
        del lease_id
        return f"static account {username}: nothing to revoke"

    async def sweep(self, active: Collection[str]) -> SweepReport:
        """Nothing is ever left behind."""
        del active
        return SweepReport()

    async def aclose(self) -> None:
        """Nothing is open."""
