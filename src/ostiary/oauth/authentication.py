"""Which client asks: client_secret_basic, client_secret_post (RFC 6749 §2.3.1) or private_key_jwt (RFC 7523 §2.2)."""

import base64
from typing import Final
from urllib.parse import unquote_plus

from ostiary.accounts.clients import Client, Clients
from ostiary.core import Secret
from ostiary.gate.ports import Refused
from ostiary.oauth.errors import InvalidClientError, InvalidRequestError, told
from ostiary.oauth.request import Form

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")


async def authenticate(clients: Clients, form: Form) -> Client | None:
    """The client; None when it shows no credential. Raises InvalidClientError, InvalidRequestError."""
    shown = [name for name in ("client_secret", "client_assertion") if form.get(name)]
    if len(shown) + bool(form.authorization) > 1:
        raise InvalidRequestError("one way of client authentication at a time")
    if not shown and not form.authorization:
        if form.get("client_assertion_type"):
            raise InvalidRequestError("client_assertion is missing")
        return None
    name = form.get("client_id")
    try:
        if form.authorization:
            user, secret = _basic(form.authorization)
            if name not in ("", user):
                raise InvalidRequestError("client_id is another than that of the Authorization header")
            return _is(await clients.by_secret(secret, form.source), user)
        if form.get("client_secret"):
            return _is(await clients.by_secret(Secret(form.get("client_secret")), form.source), name)
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequestError(f"client_assertion_type must be {ASSERTION_TYPE}")
        client = await clients.by_assertion(Secret(form.get("client_assertion")), form.source)
        return _is(client, name or client.account.name)
    except Refused as refused:
        raise InvalidClientError(told(refused), status_code=401) from None


def _basic(header: str) -> tuple[str, Secret]:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        user, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if not colon:
            raise ValueError
    except ValueError:
        raise InvalidClientError("the Authorization header is no Basic credential", status_code=401) from None
    return unquote_plus(user), Secret(unquote_plus(secret))


def _is(client: Client, name: str) -> Client:
    """A secret proves its account; whoever names another one with it made a mistake."""
    if client.account.name != name:
        raise InvalidClientError("client_id is not the one that the credential proves", status_code=401)
    return client
