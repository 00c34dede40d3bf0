"""Credentials lent to sessions: the client never sees one, and each is taken back when its session ends.

`LeaseService` is the gate's `Credentials` port. It picks the target's `Issuer`, which makes and takes back one kind of
credential, and remembers what is out; what could not be taken back is tried again.
"""

from ostiary.credentials.config import PostgresRoleCredential, StaticCredential
from ostiary.credentials.issuer import Issuer, RevokeFailed, SweepReport
from ostiary.credentials.postgres_admin import PostgresAdmin
from ostiary.credentials.postgres_role import PostgresRoleIssuer
from ostiary.credentials.service import LeaseEntry, LeaseService, LeaseState
from ostiary.credentials.source import EnvSource, FileSource, SecretSource, SecretUnavailable
from ostiary.credentials.static import StaticIssuer

__all__ = [
    "EnvSource",
    "FileSource",
    "Issuer",
    "LeaseEntry",
    "LeaseService",
    "LeaseState",
    "PostgresAdmin",
    "PostgresRoleCredential",
    "PostgresRoleIssuer",
    "RevokeFailed",
    "SecretSource",
    "SecretUnavailable",
    "StaticCredential",
    "StaticIssuer",
    "SweepReport",
]
