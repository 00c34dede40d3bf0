"""Service accounts and their keys: identities for programs that have no issuer of their own."""

import ipaddress
import re
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from ostiary.core import Principal

#: Issuer of service accounts in principals' ids: `service-accounts:billing`. No configured issuer may be called so.
ISSUER_NAME: Final = "service-accounts"
#: Issuer of the local administrator: `ostiary:admin`. As above.
LOCAL_ISSUER: Final = "ostiary"
#: Claim of a principal, and of its tokens, that names the login it came from.
LOGIN_CLAIM: Final = "login"
MAX_KEYS: Final = 8
#: Entries each of groups, targets and networks.
MAX_ENTRIES: Final = 64
#: No colon and no slash: a name can be mistaken neither for a URL nor for a part of a principal's id.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LONGEST: Final = 256
_SHOWN: Final = ("key_id", "kind", "created_at", "expires_at", "last_used_at")


class KeyKind(StrEnum):
    """How a key proves its account."""

    #: A client secret that Ostiary made; its digest is kept.
    SECRET = "secret"  # noqa: S105 - names a kind
    #: A public key; the account signs assertions (`private_key_jwt`).
    PUBLIC_KEY = "public-key"


@dataclass(frozen=True, slots=True)
class AccountKey:
    """One key. Nothing in it lets anybody in."""

    #: 16 hexadecimal digits.
    key_id: str
    account: str
    kind: KeyKind
    #: SHA-256 of the secret in hexadecimal, or the public JWK (RFC 7517) as JSON.
    material: str = field(repr=False)
    #: Unix seconds, like all times here.
    created_at: float
    expires_at: float | None = None
    #: Exact to a minute.
    last_used_at: float | None = None

    def good(self, now: float) -> bool:
        """Does it still prove anything?"""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """One account. Its name is its identity, and never becomes another account's."""

    name: str
    #: Who answers for it: a principal's id, a team, a mail address.
    owner: str
    groups: tuple[str, ...]
    #: Targets it may be used for; empty: those that policy permits.
    targets: tuple[str, ...]
    #: Addresses it may come from, in CIDR notation; empty: any.
    networks: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    disabled_at: float | None = None
    #: Counts changes.
    revision: int = 0
    #: Oldest first.
    keys: tuple[AccountKey, ...] = ()

    def closed(self, now: float) -> str:
        """Why it is good for nothing now, as a clause; empty when it is good."""
        if self.disabled_at is not None:
            return f'service account "{self.name}" is disabled'
        if self.expires_at is not None and now >= self.expires_at:
            return f'service account "{self.name}" has expired'
        return ""

    def key(self, key_id: str) -> AccountKey | None:
        """The key of this id."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def admits(self, source: str) -> bool:
        """May it come from this address, "ip:port"?"""
        if not self.networks:
            return True
        try:
            address = ipaddress.ip_address(source.rpartition(":")[0].strip("[]").partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in ipaddress.ip_network(network) for network in self.networks)


def key_of(principal: Principal) -> str:
    """Id of the key that proved a service account; empty for other principals."""
    return principal.claims.get("key", "") if principal.issuer == ISSUER_NAME else ""


def shown(account: ServiceAccount) -> dict[str, Any]:
    """As people and the audit see it: everything but what proves a key."""
    keys = [{name: getattr(key, name) for name in _SHOWN} for key in account.keys]
    return {each.name: getattr(account, each.name) for each in fields(account)} | {"keys": keys}


def checked(account: ServiceAccount, now: float) -> ServiceAccount:
    """The account, as it may be stored. Raises ValueError with a sentence."""
    if not _NAME.fullmatch(account.name):
        raise ValueError(
            f'"{account.name}" is no name for a service account: '
            'use lower-case letters, digits, ".", "_" and "-", 63 at most, and begin with a letter or a digit'
        )
    if not account.owner:
        raise ValueError("a service account needs an owner: say who answers for it")
    for what, entries in (("group", account.groups), ("target", account.targets), ("network", account.networks)):
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"a service account takes {MAX_ENTRIES} {what}s at most")
    for text in (account.owner, *account.groups):
        if not text or len(text) > _LONGEST or not text.isprintable() or text != text.strip():
            raise ValueError(f'"{text[:_LONGEST]}" is not plain text of at most {_LONGEST} characters')
    for network in account.networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f'"{network}" is no network: write 10.1.0.0/16 or 2001:db8::/32 ({error})') from None
    check_expiry(account.expires_at, now)
    return account


def check_expiry(expires_at: float | None, now: float) -> None:
    """Raises ValueError when it is over by now."""
    if expires_at is not None and expires_at <= now:
        raise ValueError("the expiry is not in the future")
