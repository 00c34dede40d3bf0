"""The OAuth 2 endpoints on the API's listener: at the host's root, where their own standards have them.

They are described by their metadata (RFC 8414), not in the OpenAPI document, and answer errors as RFC 6749 §5.2 does.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ostiary.api.caller import certificate_of
from ostiary.core import Proof, Secret
from ostiary.gate.attempts import Attempts, network_of
from ostiary.gate.ports import Refused
from ostiary.identity.rules import check_private
from ostiary.oauth import METADATA_PATH, PATHS, PEOPLE_PATHS, Answer, OAuth, refusal, slow_down, unavailable
from ostiary.store import StoreError

log = structlog.get_logger()


#: Answers to who proved nothing.
_UNPROVEN: Final = ("invalid_client", "invalid_grant")


def build(oauth: OAuth, attempts: Attempts, *, allow_plaintext_loopback: bool) -> APIRouter:
    """What is served. Secrets are taken over TLS only, as at the gate, and from where not too much failed."""
    router = APIRouter(include_in_schema=False)

    def posted(path: str, answer: Callable[[bytes, str, str, bytes], Awaitable[Answer]]) -> None:
        @router.post(path)
        async def endpoint(request: Request) -> JSONResponse:
            host, port = request.client or ("", 0)
            source = f"{host}:{port}"
            loopback = host.startswith("127.") or host == "::1"
            try:
                proof = Proof(Secret(b""), "", source, request.url.scheme == "https", loopback)
                check_private(proof, allow_plaintext_loopback=allow_plaintext_loopback)
            except Refused as refused:
                return _shown(refusal(refused))
            network = network_of(source)
            wait = attempts.wait(network)
            if wait > 0.0:
                return _shown(slow_down(wait))
            # More than one header is none that can be read.
            header = ", ".join(request.headers.getlist("authorization"))
            try:
                given = await answer(await request.body(), header, source, certificate_of(request))
            except StoreError:
                given = unavailable()
            if given.body.get("error") in _UNPROVEN:
                attempts.failed(network)
            elif "access_token" in given.body:
                attempts.proven(network)
            if given.status != 200:
                log.warning("oauth: refused", source=source, path=path, why=given.body.get("error"))
            return _shown(given)

    posted(PATHS["token_endpoint"], oauth.token)
    posted(PATHS["revocation_endpoint"], oauth.revoke)
    posted(PATHS["introspection_endpoint"], oauth.introspect)
    posted(PEOPLE_PATHS["device_authorization_endpoint"], oauth.device)

    @router.get(PATHS["jwks_uri"])
    async def jwks() -> JSONResponse:
        return _shown(oauth.jwks())

    # RFC 8414, 3.1: a path of the issuer's URL comes last.
    @router.get(METADATA_PATH + urlsplit(oauth.issuer).path)
    async def metadata() -> JSONResponse:
        return _shown(oauth.metadata())

    return router


def _shown(answer: Answer) -> JSONResponse:
    return JSONResponse(answer.body, answer.status, answer.headers)
