"""What every way of signing a person in through another identity provider has in common.

The browser that began is the one that finishes: whoever keeps a `Pending` gives it back only to the browser that it was
made for. A way refuses an answer that does not name that very `Pending`, so nobody can be signed in with an answer that
another person obtained (login CSRF), and a second answer to it, so no answer counts twice.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from ostiary.core import Principal, Refusal, RefusalKind
from ostiary.gate.ports import Refused

#: Seconds from the way out to the way back. People look for their second factor in between.
PENDING_SECONDS: Final = 600.0
AGAIN: Final = "start again at the gateway's login page"


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that has begun. Plain values, so that it can be kept anywhere secrets may be kept.

    Every way uses what its protocol has: OpenID Connect state, nonce and verifier, SAML state and request id.
    """

    #: Name of the way.
    way: str
    #: What the provider gives back unchanged: `state` (RFC 6749 §4.1.1), `RelayState` (SAML bindings §3.4.3).
    state: str = field(repr=False)
    #: `nonce` of the ID token (OpenID Connect Core §3.1.2.1).
    nonce: str = field(repr=False)
    #: `code_verifier` (RFC 7636 §4.1).
    verifier: str = field(repr=False)
    #: `ID` of the AuthnRequest, an xs:ID.
    request_id: str = field(repr=False)
    #: Unix seconds.
    created: float

    @classmethod
    def begun(cls, way: str, now: float) -> "Pending":
        """A new one, with 256 random bits in each value."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(way, state, nonce, verifier, f"_{secrets.token_hex(32)}", now)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the browser goes next: 303 to `url`, an absolute URL at the provider."""

    url: str = field(repr=False)


class Spend(Protocol):
    """`AccountRepository.spend`."""

    async def __call__(self, token_id: str, until: float, now: float, /) -> bool:
        """Of all who spend the same id, in whatever process, one gets True. It is forgotten after `until`."""
        ...


class Way(Protocol):
    """One identity provider that people sign in at."""

    @property
    def name(self) -> str:
        """Name of its issuer in the configuration; unique among all ways."""
        ...

    @property
    def title(self) -> str:
        """What its button says: "Acme staff"."""
        ...

    @property
    def path(self) -> str:
        """Where signing in begins at this gateway: "/login/oidc/acme"."""
        ...

    async def begin(self, pending: Pending) -> Redirect:
        """To the provider. Raises Refused(IDENTITY) when it can't be asked."""
        ...

    async def finish(self, pending: Pending, params: Mapping[str, str]) -> Principal:
        """Who came back.

        Args:
            pending: what `begin` was given, from this very browser.
            params: of the query or the form that the provider sent the browser back with, each name once.

        Raises:
            Refused: IDENTITY; its sentences hold nothing of what came.
        """
        ...


class PostedWay(Way, Protocol):
    """One whose answer is a form, and whose operator must be told of this gateway."""

    def metadata(self) -> bytes:
        """Of this gateway: a document for the provider's operator."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """All that are configured, by name."""

    #: Answered by a redirect to `PATH/callback`.
    redirected: Mapping[str, Way] = field(default_factory=dict)
    #: Answered by a form to `PATH/acs`; described at `PATH/metadata`.
    posted: Mapping[str, PostedWay] = field(default_factory=dict)

    def all(self) -> list[Way]:
        """As the login page shows them."""
        return sorted([*self.redirected.values(), *self.posted.values()], key=lambda way: (way.title, way.name))


async def check_pending(pending: Pending, way: str, state: str | None, now: float, spend: Spend) -> None:
    """The answer belongs to what this browser began, at this provider, not long ago, and is the first one to it.

    Whatever becomes of it, there is no second answer. Raises Refused(IDENTITY).
    """
    if pending.way != way or state is None or not hmac.compare_digest(pending.state.encode(), state.encode()):
        raise refused("the answer does not belong to the sign-in that this browser began")
    if not 0 <= now - pending.created < PENDING_SECONDS:
        raise refused("it took too long")
    digest = hashlib.sha256(pending.state.encode()).hexdigest()
    if not await spend(f"signin:{digest}", pending.created + PENDING_SECONDS, now):
        raise refused("it was answered before")


def refused(reason: str, hint: str = AGAIN) -> Refused:
    """`sign-in refused: REASON`."""
    return Refused(Refusal(RefusalKind.IDENTITY, f"sign-in refused: {reason}", hint))
