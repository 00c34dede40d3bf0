"""The grants: client credentials (RFC 6749), token exchange (RFC 8693), JWT and SAML bearer (RFC 7523, RFC 7522)."""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from ostiary.accounts.clients import Client, Clients
from ostiary.accounts.issued import Tokens
from ostiary.accounts.routing import is_assertion
from ostiary.core import Principal, Proof, Secret
from ostiary.core.limit import Limiter
from ostiary.gate.attempts import network_of
from ostiary.gate.ports import Identity, Refused
from ostiary.oauth.authorize import CLI
from ostiary.oauth.errors import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    InvalidTargetError,
    SlowDownError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    of_grant,
)
from ostiary.oauth.people import PEOPLE_GRANTS, PeopleGrants
from ostiary.oauth.request import Form
from ostiary.oauth.tell import TellsTokens

CLIENT_CREDENTIALS: Final = "client_credentials"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SAML2_BEARER: Final = "urn:ietf:params:oauth:grant-type:saml2-bearer"
GRANTS: Final = (CLIENT_CREDENTIALS, TOKEN_EXCHANGE, JWT_BEARER, SAML2_BEARER)
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_TYPE: Final = "urn:ietf:params:oauth:token-type:"
_SUBJECTS: Final = {_TYPE + name for name in ("jwt", "id_token", "access_token", "saml2")}
_REQUESTED: Final = {"", _TYPE + "access_token", _TYPE + "jwt"}
#: Tokens at once, and a second, that one client or caller is given; and failures that an address has.
_BURST: Final = 60
_RATE: Final = 2.0


class Grants:
    """Answers a token request with a token.

    Args:
        clients: authenticates service accounts.
        tokens: makes access tokens.
        others: verifies the tokens of the configured issuers. It does not know those of `tokens`: a token that was
            issued is no ground for another one, or it would never end.
        targets: names of the declared targets.
        clock: Unix seconds.
        tells: writes what is issued into the audit log.
        people: grants of people who sign in here; None: nobody does.
    """

    def __init__(
        self,
        clients: Clients,
        tokens: Tokens,
        others: Identity,
        targets: Collection[str],
        clock: Callable[[], float],
        tells: TellsTokens,
        people: PeopleGrants | None = None,
    ) -> None:
        self._tells = tells
        self._clients = clients
        self._tokens = tokens
        self._others = others
        self._targets = targets
        self._given = Limiter(clock, _RATE, _BURST)
        self._failures = Limiter(clock, _RATE, _BURST)
        self._clock = clock
        self._people = people

    async def token(self, form: Form, client: Client | None) -> dict[str, object]:
        """The body of a good answer. Raises OAuth2Error."""
        grant = form.required("grant_type")
        if form.get("scope"):
            raise InvalidScopeError("there are no scopes: policies say what a caller may do")
        if grant == CLIENT_CREDENTIALS:
            if client is None:
                raise InvalidClientError("this grant needs a client", status_code=401)
            return self._issue(form, self._of(client), client, client)
        if grant == TOKEN_EXCHANGE:
            return await self._exchange(form, client)
        if grant == JWT_BEARER:
            return await self._bearer(form, client)
        if grant == SAML2_BEARER:
            return await self._saml(form, client)
        if grant in PEOPLE_GRANTS and self._people is not None:
            return await self._person(self._people, grant, form, client)
        raise UnsupportedGrantTypeError(None)

    async def _exchange(self, form: Form, client: Client | None) -> dict[str, object]:
        if form.get("actor_token") or form.get("actor_token_type"):
            raise InvalidRequestError("acting for somebody (actor_token) is not offered")
        if form.get("requested_token_type") not in _REQUESTED:
            raise InvalidRequestError("requested_token_type must be an access token or a JWT")
        kind = form.required("subject_token_type")
        if kind not in _SUBJECTS:
            raise InvalidRequestError("subject_token_type must be jwt, id_token, access_token or saml2")
        subject = await self._subject(form.required("subject_token"), form.source)
        return self._issue(form, subject, client, None) | {"issued_token_type": _TYPE + "access_token"}

    async def _bearer(self, form: Form, client: Client | None) -> dict[str, object]:
        assertion = Secret(form.required("assertion"))
        try:
            account = (
                await self._clients.by_assertion(assertion, form.source) if is_assertion(assertion.reveal()) else None
            )
        except Refused as refused:
            raise of_grant(refused) from None
        if account is not None:
            return self._issue(form, self._of(account), client or account, account)
        return self._issue(form, await self._subject(form.get("assertion"), form.source), client, None)

    async def _saml(self, form: Form, client: Client | None) -> dict[str, object]:
        assertion = form.required("assertion")
        if not _BASE64URL.fullmatch(assertion):
            raise InvalidRequestError("assertion must be a SAML 2.0 assertion in base64url")
        # Before it is used up: it serves once.
        self._wanted(form, ())
        subject = await self._subject(assertion, form.source)
        try:
            await self._tokens.use_up(subject)
        except Refused as refused:
            raise of_grant(refused) from None
        return self._issue(form, subject, client, None)

    async def _person(self, people: PeopleGrants, grant: str, form: Form, client: Client | None) -> dict[str, object]:
        if client is not None:
            raise UnauthorizedClientError("this grant is for people, not for service accounts")
        # Before anything is used up: a refresh token serves once.
        targets = self._wanted(form, ())
        host = network_of(form.source)
        self._slow(self._failures, host)
        try:
            login, refresh = await people.granted(grant, form)
        except InvalidGrantError:
            self._failures.take(host)
            raise
        made = self._made(form, login.principal(), CLI, targets)
        # Whatever is renewed, the login ends then.
        left = max(0, int(login.expires_at - self._clock()))
        return made | {"refresh_token": refresh.reveal_text(), "refresh_token_expires_in": left}

    async def _subject(self, token: str, source: str) -> Principal:
        """Whom a token of a configured issuer is about."""
        host = network_of(source)
        self._slow(self._failures, host)
        try:
            return await self._others.identify(Proof(Secret(token), "", source, encrypted=True, loopback=False))
        except Refused as refused:
            self._failures.take(host)
            raise of_grant(refused) from None

    def _of(self, client: Client) -> Principal:
        """An assertion's own end says nothing of the token's."""
        principal = client.principal(self._clock())
        return replace(principal, expires_at=principal.session_until)

    def _issue(
        self, form: Form, principal: Principal, client: Client | None, account: Client | None
    ) -> dict[str, object]:
        targets = self._wanted(form, account.account.targets if account is not None else ())
        if principal.expires_at < self._clock() + 1:
            raise InvalidGrantError("what proves the caller ends now")
        self._slow(self._given, principal.id)
        self._given.take(principal.id)
        client_id = client.account.name if client is not None else principal.id
        return self._made(form, principal, client_id, targets, form.certificate)

    def _made(
        self, form: Form, principal: Principal, client_id: str, targets: tuple[str, ...], certificate: bytes = b""
    ) -> dict[str, object]:
        token, claims = self._tokens.issue(principal, client_id, targets, certificate)
        self._tells.issued(form, principal, client_id, targets, claims["jti"], claims["exp"])
        return {
            "access_token": token.reveal_text(),
            "token_type": "Bearer",
            "expires_in": claims["exp"] - claims["iat"],
        }

    def _wanted(self, form: Form, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """`audience`: names of targets that the token is bound to; none: those of the account."""
        if form.values.get("resource"):
            raise InvalidTargetError("targets are named by audience, not by resource")
        wanted = tuple(
            dict.fromkeys(name for name in form.values.get("audience", ()) if name != self._tokens.own.issuer)
        )
        if any(name not in self._targets or (allowed and name not in allowed) for name in wanted):
            raise InvalidTargetError("audience must name targets that the caller may have tokens for")
        return wanted or allowed

    @staticmethod
    def _slow(limiter: Limiter, name: str) -> None:
        wait = limiter.wait(name)
        if wait > 0.0:
            raise SlowDownError(f"too many requests; try again in {wait:.0f} seconds")
