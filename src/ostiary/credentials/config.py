"""What a target's `credential:` says."""

import re
from dataclasses import dataclass

from ostiary.credentials.source import SecretSource

#: Longest identifier PostgreSQL keeps, in bytes (NAMEDATALEN - 1); it silently cuts longer ones.
MAX_IDENTIFIER = 63
_NODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class StaticCredential:
    """One account for every session. `password` None: the target trusts the connection or its client certificate."""

    username: str
    password: SecretSource | None = None


@dataclass(frozen=True, slots=True)
class PostgresRoleCredential:
    """A role per session, made by an admin account with CREATEROLE. Raises ValueError for names PostgreSQL can't keep.

    Args:
        admin_username: account that makes and drops the roles.
        admin_password: None: the target trusts the connection or its client certificate.
        member_of: roles whose privileges the session's role gets (`IN ROLE`).
        reassign_to: new owner of what a session leaves behind; by default the first of `member_of`, else the admin.
        max_ttl: seconds; no password lives longer, whatever the token says.
        connection_limit: connections the role may have open at once. The session itself needs one.
        pool: admin connections to the target at most.
    """

    admin_username: str
    admin_password: SecretSource | None = None
    member_of: tuple[str, ...] = ()
    reassign_to: str | None = None
    max_ttl: float = 24 * 3600.0
    connection_limit: int = 2
    pool: int = 4

    def __post_init__(self) -> None:
        names = [self.admin_username, *self.member_of]
        for name in names if self.reassign_to is None else [*names, self.reassign_to]:
            if not name or "\0" in name or len(name.encode()) > MAX_IDENTIFIER:
                raise ValueError(f"{name!r} is no name of a PostgreSQL role: 1 to {MAX_IDENTIFIER} bytes, no NUL")
        if self.max_ttl <= 0 or self.connection_limit < 1 or self.pool < 1:
            raise ValueError("max_ttl, connection_limit and pool must be positive")


def checked_node(name: str) -> str:
    """A node's name as it stands in the comments of roles. Raises ValueError."""
    if not _NODE.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a node: 1 to 64 letters, digits, '.', '_' or '-'")
    return name
