"""Who signed in, and what was given out for it. Secrets are known here by their SHA-256 alone."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ostiary.accounts import LOGIN_CLAIM
from ostiary.core import Principal, PrincipalKind, Secret

#: Name of the local administrator: the principal `ostiary:admin`.
ADMIN: Final = "admin"
#: `client` of a login that a browser holds.
BROWSER: Final = "browser"
#: Seconds that a browser's login lasts without being used.
IDLE_SECONDS: Final = 1800.0
#: Seconds that an authorization code is good (RFC 6749 §4.1.2 has ten minutes at most).
CODE_SECONDS: Final = 60.0
#: Without vowels and digits, so that codes are read aloud without mistakes and spell nothing (RFC 8628 §6.1).
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_REFRESH: Final = re.compile(rb"ort_([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")


def digest(text: str | bytes) -> str:
    """What is stored of a secret of 256 random bits: it can't be guessed back, and needs no slow hash."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def new_user_code() -> str:
    """Eight letters: 34 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def shown_code(code: str) -> str:
    """As people read it: `BCDF-GHJK`."""
    return f"{code[:4]}-{code[4:]}"


def typed_code(text: str) -> str:
    """A user code as somebody typed it; empty when it is none."""
    letters = re.sub(r"[\s-]", "", text[:32]).upper()
    return letters if len(letters) == 8 and set(letters) <= set(_LETTERS) else ""


def refresh_token(handle: str, secret: str) -> Secret:
    """The handle stays and names the login; the secret serves once."""
    return Secret(f"ort_{handle}.{secret}")


def parts_of(token: Secret) -> tuple[str, str] | None:
    """Handle and secret of a refresh token; None for anything else."""
    found = _REFRESH.fullmatch(token.reveal())
    return (found[1].decode(), found[2].decode()) if found else None


@dataclass(frozen=True, slots=True)
class Who:
    """A person who signed in."""

    issuer: str
    subject: str
    groups: tuple[str, ...]
    claims: dict[str, str]
    #: How: "password", "passkey", or the name of the issuer.
    way: str

    @classmethod
    def of(cls, principal: Principal, way: str) -> "Who":
        """What lasts of a principal beyond its proof."""
        return cls(principal.issuer, principal.subject, tuple(sorted(principal.groups)), dict(principal.claims), way)

    @property
    def id(self) -> str:
        """`issuer:subject`."""
        return f"{self.issuer}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Login:
    """What a person did once, and a browser or a client holds since. Times are unix seconds."""

    #: Names it in tokens and records; it proves nothing.
    login_id: str
    #: Digest of what finds it: a browser's cookie, or the lasting part of a refresh token.
    handle: str = field(repr=False)
    #: Digest of the refresh token's part that serves once; empty for a browser.
    secret: str = field(repr=False)
    client: str
    who: Who
    #: Address it was made from, "ip:port".
    source: str
    created_at: float
    seen_at: float
    expires_at: float

    def open(self, now: float) -> bool:
        """Is it good still?"""
        return now < self.expires_at and (self.client != BROWSER or now < self.seen_at + IDLE_SECONDS)

    def principal(self) -> Principal:
        """Whom it stands for."""
        who = self.who
        return Principal(
            kind=PrincipalKind.HUMAN,
            issuer=who.issuer,
            subject=who.subject,
            groups=frozenset(who.groups),
            expires_at=self.expires_at,
            session_until=self.expires_at,
            proof_id=self.login_id,
            claims={**who.claims, LOGIN_CLAIM: self.login_id},
        )


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code (RFC 6749 §4.1.2), and what it is bound to."""

    digest: str = field(repr=False)
    client: str
    redirect_uri: str
    #: `code_challenge`, S256 (RFC 7636 §4.2).
    challenge: str
    who: Who
    expires_at: float
    #: The login that it was turned into; empty until then.
    login_id: str = ""


class DeviceState(StrEnum):
    """What became of a device's request."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device waits for a person (RFC 8628)."""

    digest: str = field(repr=False)
    user_code: str
    client: str
    #: Address of the device, "ip:port".
    source: str
    created_at: float
    expires_at: float
    #: Seconds between two polls, and when the last one was.
    interval: float
    polled_at: float
    state: DeviceState = DeviceState.PENDING
    #: Who confirmed it.
    who: Who | None = None


@dataclass(frozen=True, slots=True)
class Passkey:
    """A public key of an authenticator (WebAuthn §4), base64url."""

    credential_id: str
    public_key: str
    sign_count: int


@dataclass(frozen=True, slots=True)
class LocalAdmin:
    """The administrator of a gateway without an identity provider."""

    name: str
    #: argon2id's own text; empty: none.
    password: str = field(default="", repr=False)
    passkeys: tuple[Passkey, ...] = ()
    #: Digest of the one-time link; empty: none.
    link: str = field(default="", repr=False)
    link_until: float = 0.0

    @property
    def ready(self) -> bool:
        """Is there anything to sign in with?"""
        return bool(self.password or self.passkeys)

    def linked(self, link: str, now: float) -> bool:
        """Is this the link that is good now?"""
        return bool(self.link) and hmac.compare_digest(digest(link), self.link) and now < self.link_until
