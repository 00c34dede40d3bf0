"""Service accounts: non-human identities that a user provisions for programs without an issuer of their own.

`model` says what they are, `clients` who a credential proves, `issued` makes and verifies the gateway's own access
tokens, `identity` is the gate's port. docs/service-accounts.md

Named here is what the store and every command may load quickly; the rest has libraries of its own behind it.
"""

from ostiary.accounts.model import (
    ISSUER_NAME,
    LOCAL_ISSUER,
    LOGIN_CLAIM,
    MAX_KEYS,
    AccountKey,
    KeyKind,
    ServiceAccount,
    check_expiry,
    checked,
    shown,
)
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.secrets import digest, new_key_id, new_secret

__all__ = [
    "ISSUER_NAME",
    "LOCAL_ISSUER",
    "LOGIN_CLAIM",
    "MAX_KEYS",
    "AccountKey",
    "AccountRepository",
    "KeyKind",
    "ServiceAccount",
    "check_expiry",
    "checked",
    "digest",
    "new_key_id",
    "new_secret",
    "shown",
]
