"""The authorization endpoint (RFC 6749 §4.1, RFC 7636, RFC 9207) for native applications (RFC 8252 §7.3).

What is wrong with the client or its redirect is shown to the person; everything else is told to the client.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636.challenge import CODE_CHALLENGE_PATTERN

from ostiary.oauth.errors import (
    AccessDeniedError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    SlowDownError,
    UnsupportedResponseTypeError,
)
from ostiary.signin.people import CODE_SECONDS, Code, Who, digest, new_secret
from ostiary.signin.repository import PeopleRepository

#: The one client of people: public, built in.
CLI: Final = "ostiary-cli"
#: Exact but for the port: a listener on this very machine, named by its address (RFC 8252 §8.3).
_LOOPBACK: Final = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})/callback")
#: Codes that are remembered at once.
_MAX_CODES: Final = 10_000
_NAMES: Final = frozenset({
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
})  # fmt: skip
_LONGEST_STATE: Final = 1024


class Unanswerable(Exception):  # noqa: N818 - reads as what it is
    """A request that is not answered to its client: nobody knows who would read it. A sentence for the person."""


class Answered(Exception):  # noqa: N818 - as above
    """A request that is answered to its client at once. `location`: where the browser goes."""

    def __init__(self, location: str) -> None:
        super().__init__("answered")
        self.location = location


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that can be answered."""

    redirect_uri: str
    challenge: str
    #: None: there was none.
    state: str | None

    @property
    def origin(self) -> str:
        """Of the client's listener."""
        return self.redirect_uri.rsplit("/", 1)[0]


class AuthorizationEndpoint:
    """Args: issuer: the gateway's URL. repository: keeps codes. clock: Unix seconds."""

    def __init__(self, issuer: str, repository: PeopleRepository, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._repository = repository
        self._clock = clock

    def read(self, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
        """Parameters of the query, in order. Raises Unanswerable, Answered."""
        given: dict[str, str] = {}
        twice = False
        for name, value in parameters:
            twice = twice or name in given
            given.setdefault(name, value)
        if twice:
            # Not told to the client: which of its redirects would it be?
            raise Unanswerable("a parameter of the request is there twice")
        if given.get("client_id") != CLI:
            raise Unanswerable("no such client is known to this gateway")
        redirect_uri = given.get("redirect_uri", "")
        port = _LOOPBACK.fullmatch(redirect_uri)
        if port is None or int(port[1]) > 65535:
            raise Unanswerable("the client wants the answer at an address that is not a loopback listener of its own")
        state = given.get("state")
        if state is not None and (len(state) > _LONGEST_STATE or not state.isascii() or not state.isprintable()):
            raise Unanswerable("the client's state is no printable ASCII, or too long")
        request = AuthorizationRequest(redirect_uri, given.get("code_challenge", ""), state)
        try:
            _check(given)
        except OAuth2Error as error:
            raise Answered(self.refused(request, error)) from None
        return request

    async def grant(self, request: AuthorizationRequest, who: Who) -> str:
        """Where the browser goes with a code."""
        code, now = new_secret(), self._clock()
        kept = Code(digest(code), CLI, request.redirect_uri, request.challenge, who, now + CODE_SECONDS)
        if not await self._repository.add_code(kept, _MAX_CODES, now):
            return self.refused(request, SlowDownError("too many people log in at this moment"))
        return self._location(request, {"code": code})

    def deny(self, request: AuthorizationRequest) -> str:
        """Where the browser goes when the person says no."""
        return self.refused(request, AccessDeniedError("the person said no"))

    def refused(self, request: AuthorizationRequest, error: OAuth2Error) -> str:
        """RFC 6749 §4.1.2.1."""
        return self._location(request, dict(error.get_body()))

    def _location(self, request: AuthorizationRequest, answer: Mapping[str, str]) -> str:
        state = {} if request.state is None else {"state": request.state}
        return str(add_params_to_uri(request.redirect_uri, [*{**answer, **state, "iss": self._issuer}.items()]))


def _check(given: Mapping[str, str]) -> None:
    if given.get("response_type") != "code":
        raise UnsupportedResponseTypeError("response_type must be code")
    if not given.keys() <= _NAMES:
        raise InvalidRequestError("a parameter is not known here")
    if given.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query")
    if given.get("scope"):
        raise InvalidScopeError("there are no scopes: policies say what a caller may do")
    if given.get("code_challenge_method") != "S256":
        raise InvalidRequestError("code_challenge_method must be S256")
    challenge = given.get("code_challenge", "")
    if len(challenge) != 43 or not CODE_CHALLENGE_PATTERN.fullmatch(challenge):
        raise InvalidRequestError("code_challenge must be the base64url of a SHA-256")
