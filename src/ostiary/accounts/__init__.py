"""Service accounts: non-human identities that a user provisions for programs without an issuer of their own.

`model` says what they are, `clients` who a credential proves, `issued` makes and verifies the gateway's own access
tokens, `identity` is the gate's port. docs/service-accounts.md
"""

from ostiary.accounts.clients import Client, Clients
from ostiary.accounts.identity import AccountIdentity, Liveness
from ostiary.accounts.issued import Issued, Tokens
from ostiary.accounts.limit import Limiter
from ostiary.accounts.model import (
    ISSUER_NAME,
    MAX_KEYS,
    AccountKey,
    KeyKind,
    ServiceAccount,
    check_expiry,
    checked,
    shown,
)
from ostiary.accounts.public_keys import public_jwk
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.routing import is_assertion
from ostiary.accounts.secrets import digest, new_key_id, new_secret
from ostiary.accounts.signing_keys import SigningKeys, SigningKeysError

__all__ = [
    "ISSUER_NAME",
    "MAX_KEYS",
    "AccountIdentity",
    "AccountKey",
    "AccountRepository",
    "Client",
    "Clients",
    "Issued",
    "KeyKind",
    "Limiter",
    "Liveness",
    "ServiceAccount",
    "SigningKeys",
    "SigningKeysError",
    "Tokens",
    "check_expiry",
    "checked",
    "digest",
    "is_assertion",
    "new_key_id",
    "new_secret",
    "public_jwk",
    "shown",
]
