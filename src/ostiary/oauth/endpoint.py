"""The endpoints: a posted form in, an answer out. Nothing here knows HTTP beyond a status and a few headers.

Token (RFC 6749 §3.2), revocation (RFC 7009), introspection (RFC 7662), keys (RFC 7517), metadata (RFC 8414).
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from ostiary.accounts import ISSUER_NAME, LOGIN_CLAIM
from ostiary.accounts.clients import Clients
from ostiary.accounts.issued import Issued, Tokens
from ostiary.core import Secret
from ostiary.gate.ports import Identity, Refused
from ostiary.oauth.authentication import authenticate
from ostiary.oauth.authorize import CLI
from ostiary.oauth.errors import (
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
    SlowDownError,
    UnavailableError,
    told,
)
from ostiary.oauth.grants import GRANTS, Grants
from ostiary.oauth.metadata import metadata
from ostiary.oauth.people import PEOPLE_GRANTS, PeopleGrants
from ostiary.oauth.request import Form
from ostiary.oauth.tell import TellsTokens

_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_OFFERED: Final = (*GRANTS, *PEOPLE_GRANTS)
#: What a token says, as introspection tells it.
_TOLD: Final = ("iss", "sub", "aud", "client_id", "iat", "exp", "jti", "groups", "targets", "cnf")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What goes back. It may hold a token, and is never shown."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=lambda: dict(_NO_STORE))


class OAuth:
    """All of them. Arguments as of `Grants`; `bound`: clients are asked for certificates, and tokens bound to them."""

    def __init__(
        self,
        clients: Clients,
        tokens: Tokens,
        others: Identity,
        targets: Collection[str],
        clock: Callable[[], float],
        tells: TellsTokens,
        people: PeopleGrants | None = None,
        *,
        bound: bool = False,
    ) -> None:
        self._clients = clients
        self._bound = bound
        self._tells = tells
        self._tokens = tokens
        self._people = people
        self._grants = Grants(clients, tokens, others, targets, clock, tells, people)

    async def token(self, body: bytes, authorization: str, source: str, certificate: bytes = b"") -> Answer:
        """`source`: address of the client, "ip:port"; `authorization`: the header, or empty.

        `certificate`: the client's, in DER; tokens are bound to it (RFC 8705 §3).
        """

        async def work(form: Form) -> dict[str, Any]:
            client = None
            try:
                client = await authenticate(self._clients, form)
                return await self._grants.token(form, client)
            except OAuth2Error as error:
                grant = form.get("grant_type")
                self._tells.refused(form, client, grant if grant in _OFFERED else "", error)
                raise

        return await _answered(work, body, authorization, source, certificate)

    async def revoke(self, body: bytes, authorization: str, source: str, certificate: bytes = b"") -> Answer:
        """A client revokes its own tokens; tokens that were issued to no client are revoked by who has them.

        What is no token of the caller's is answered like one that was revoked (RFC 7009 §2.2).
        """

        async def work(form: Form) -> dict[str, Any]:
            client = await authenticate(self._clients, form)
            if client is None and self._people is not None and await self._people.revoke(form):
                return {}
            issued = self._tokens.parsed(Secret(form.required("token")))
            if issued is not None and issued.client_id == (client.account.name if client else _nobody(issued)):
                await self._tokens.revoke(issued)
                self._tells.revoked(form, issued)
            return {}

        return await _answered(work, body, authorization, source, certificate)

    async def introspect(self, body: bytes, authorization: str, source: str, certificate: bytes = b"") -> Answer:
        """Is a token of this gateway good, and what does it say? For service accounts."""

        async def work(form: Form) -> dict[str, Any]:
            if await authenticate(self._clients, form) is None:
                raise InvalidClientError("introspection needs a client", status_code=401)
            issued = self._tokens.parsed(Secret(form.required("token")))
            if issued is None:
                return {"active": False}
            try:
                await self._tokens.alive(issued)
            except Refused:
                return {"active": False}
            told = {name: issued.claims[name] for name in _TOLD if name in issued.claims}
            return {"active": True, "token_type": "Bearer", **told}

        return await _answered(work, body, authorization, source, certificate)

    @property
    def issuer(self) -> str:
        """The gateway's URL."""
        return self._tokens.own.issuer

    def jwks(self) -> Answer:
        """The public keys."""
        return Answer(200, self._tokens.keys.jwks(), {})

    def metadata(self) -> Answer:
        """What there is."""
        return Answer(200, metadata(self.issuer, people=self._people is not None, bound=self._bound), {})

    async def device(self, body: bytes, authorization: str, source: str, certificate: bytes = b"") -> Answer:
        """A device begins to wait for a person (RFC 8628 §3.1)."""

        async def work(form: Form) -> dict[str, Any]:
            if self._people is None:
                raise InvalidRequestError("nobody logs in at this gateway")
            return await self._people.begin_device(form)

        return await _answered(work, body, authorization, source, certificate)


def refusal(refused: Refused) -> Answer:
    """A request that is not looked at."""
    return Answer(400, dict(InvalidRequestError(told(refused)).get_body()))


def slow_down(wait: float) -> Answer:
    """A request that is not looked at yet: too much failed where it comes from. `wait`: seconds."""
    error = SlowDownError(f"too many requests from this address failed; wait {max(1.0, wait):.0f} s")
    return Answer(error.status_code, dict(error.get_body()), _NO_STORE | {"Connection": "close"})


def unavailable() -> Answer:
    """What was asked can't be told: the state does not answer."""
    error = UnavailableError("the state store failed; try again, the gateway's log has the details")
    return Answer(error.status_code, dict(error.get_body()))


def _nobody(issued: Issued) -> str | None:
    """The client id of a token that no client, or none that proves itself, was issued."""
    if LOGIN_CLAIM in issued.principal.claims:
        return CLI
    return issued.principal.id if issued.principal.issuer != ISSUER_NAME else None


async def _answered(
    work: Callable[[Form], Awaitable[dict[str, Any]]], body: bytes, authorization: str, source: str, certificate: bytes
) -> Answer:
    try:
        return Answer(200, await work(Form.read(body, authorization, source, certificate)))
    except OAuth2Error as error:
        headers = _NO_STORE | ({"WWW-Authenticate": 'Basic realm="ostiary"'} if error.status_code == 401 else {})
        return Answer(error.status_code, dict(error.get_body()), headers)
