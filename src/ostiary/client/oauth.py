"""The gateway as an authorization server: its metadata (RFC 8414) and its endpoints, asked as a public client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from ostiary.client.requests import LOOPBACK, RequestFailed, Untrusted, ask
from ostiary.core import Secret, printable

#: The command line as a client: public (RFC 8252 §8.5), known to every gateway.
CLIENT_ID: Final = "ostiary-cli"
SECONDS: Final = 10.0
_MAX_TOKEN: Final = 32 * 1024
_MAX_TEXT: Final = 300
_METADATA: Final = "/.well-known/oauth-authorization-server"


class OAuthFailed(Exception):  # noqa: N818 - a state
    """It was not done; the text is a sentence that holds no secret, and may quote the server, made printable.

    Attributes:
        hint: the next step.
        code: the error code of RFC 6749 or RFC 8628; empty when the server gave no such answer.
    """

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Granted:
    """What a token endpoint gave (RFC 6749 §5.1).

    Attributes:
        seconds: that the access token lives.
        refresh: None where there is none.
        login_seconds: until the login ends, however often it is renewed; None where that is not told.
    """

    access: Secret
    seconds: float
    refresh: Secret | None
    login_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What its metadata says; every endpoint has the issuer's own origin.

    Attributes:
        issuer: its URL, as it writes it.
        ca: PEM file of the authorities that may sign its certificate; None are the system's.
        endpoints: by their name in the metadata.
    """

    issuer: str
    ca: str | None
    endpoints: Mapping[str, str]

    def endpoint(self, name: str, what: str) -> str:
        """Its URL. Raises OAuthFailed where the gateway has none."""
        if name not in self.endpoints:
            raise OAuthFailed(f"{self.issuer} offers no {what}", "ask whoever runs the gateway")
        return self.endpoints[name]

    async def post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        """The answer of an endpoint. Raises OAuthFailed, with its code where the server says what is wrong."""
        return await _ask("POST", url, form, self.ca)

    async def revoke(self, token: Secret) -> None:
        """End a refresh token, and what it gave (RFC 7009). Raises OAuthFailed."""
        form = {"token": token.reveal_text(), "token_type_hint": "refresh_token", "client_id": CLIENT_ID}
        await self.post(self.endpoint("revocation_endpoint", "revocation"), form)

    async def grant(self, form: Mapping[str, str]) -> Granted:
        """Ask the token endpoint. Raises OAuthFailed."""
        answer = await self.post(self.endpoint("token_endpoint", "tokens"), form)
        access, refresh, seconds = (answer.get(name) for name in ("access_token", "refresh_token", "expires_in"))
        if str(answer.get("token_type", "")).lower() != "bearer" or not _is_token(access):
            raise OAuthFailed(f"{self.issuer} answered without a bearer token", "is it a gateway?")
        if not _is_seconds(seconds) or seconds == 0:
            raise OAuthFailed(f"{self.issuer} does not say how long its token lives", "is it a gateway?")
        if refresh is not None and not _is_token(refresh):
            raise OAuthFailed(f"{self.issuer} answered with a refresh token that is none", "is it a gateway?")
        login = answer.get("refresh_token_expires_in")
        return Granted(
            Secret(str(access)),
            float(seconds),
            None if refresh is None else Secret(str(refresh)),
            # No standard has it, so it is taken where it makes sense.
            float(login) if _is_seconds(login) else None,
        )


def origin(url: str) -> str:
    """Scheme, host and port of an address that a token may be sent to: https, or http on loopback.

    Raises:
        ValueError: a sentence.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not url.isascii() or not url.isprintable() or " " in url or host is None or parts.username is not None:
        raise ValueError(f'"{printable(url[:_MAX_TEXT])}" is not an address: write https://HOST:PORT')
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        raise ValueError(f'"{url[:_MAX_TEXT]}" is not https: only on this machine may it be http')
    shown = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{shown}" + ("" if port in (None, default) else f":{port}")


async def discover(url: str, ca: str | None) -> Server:
    """The metadata of the gateway at this address (RFC 8414 §3). Raises OAuthFailed, ValueError."""
    where = origin(url)
    # RFC 8414 §3.1: a path of the issuer's comes last.
    path = urlsplit(url).path.rstrip("/")
    said = await _ask("GET", where + _METADATA + path, None, ca)
    issuer = said.get("issuer")
    if not isinstance(issuer, str) or not _same(issuer, where) or urlsplit(issuer)[2:] != (path, "", ""):
        # RFC 8414 §3.3: whoever answers for another issuer may be passing that one's answers on.
        raise OAuthFailed(
            f"{where}{path} says that it is {_quoted(issuer)}",
            "log in at the address that the gateway calls its own (`server.url`)",
        )
    endpoints = {}
    for name, value in said.items():
        if name.endswith("_endpoint") and isinstance(value, str):
            if not _same(value, where):
                raise OAuthFailed(
                    f"{where} names another host's {printable(name[:64])}: {_quoted(value)}", "don't log in"
                )
            endpoints[name] = value
    return Server(issuer, ca, endpoints)


async def _ask(method: str, url: str, form: Mapping[str, str] | None, ca: str | None) -> dict[str, Any]:
    where = origin(url)
    try:
        answer = await ask(method, url, {}, form=form, ca=ca, seconds=SECONDS)
    except Untrusted as error:
        raise OAuthFailed(f"{where}: {error}", "name the gateway's authority with --ca") from None
    except RequestFailed as error:
        raise OAuthFailed(f"{where}: {error}", "is the gateway up, and is that its API's port?") from None
    return _read(where, answer.status, answer.body)


def _read(where: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not (status == 200 or isinstance(said.get("error"), str)):
        raise OAuthFailed(
            f"{where} answered with status {status}, and not as a gateway that people log in to does",
            "is it the address of the gateway's API?",
        )
    if status != 200:
        why = said.get("error_description") or said["error"]
        raise OAuthFailed(f"{where} refused it: {printable(str(why)[:_MAX_TEXT])}", code=said["error"][:64])
    return said


def _same(url: str, where: str) -> bool:
    try:
        return origin(url) == where
    except ValueError:
        return False


def _is_seconds(value: object) -> TypeGuard[int | float]:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < 1 << 31


def _is_token(value: object) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= _MAX_TOKEN and all(0x20 < ord(letter) < 0x7F for letter in value)
    )


def _quoted(value: object) -> str:
    return f'"{printable(value[:_MAX_TEXT])}"' if isinstance(value, str) else "nobody"
