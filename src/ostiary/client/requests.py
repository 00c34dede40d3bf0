"""One bounded HTTP request: no redirect is followed, nothing of the answer is kept but its body."""

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 5.0
_MAX_BODY: Final = 256 * 1024
#: Metadata services, which are reached in clear on a link that never leaves the machine.
_METADATA: Final = frozenset({"169.254.169.254", "metadata.google.internal"})
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class RequestFailed(Exception):  # noqa: N818 - a clause for people, not a fault
    """No answer that can be used; its text is a clause about who was asked: "it answered with status 403"."""


class Untrusted(RequestFailed):
    """Whoever answers can't prove that it is the one who was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body; the body may hold a secret."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


async def get(
    url: str, headers: Mapping[str, str], parameters: Mapping[str, str], *, expect: Mapping[str, str] | None = None
) -> bytes:
    """The body of a 200 answer to a GET, within five seconds in all.

    Args:
        url: https, or http on loopback or at a metadata service; its query is kept.
        headers: of the request.
        parameters: appended to the query.
        expect: headers that the answer must have.

    Raises:
        RequestFailed: there is no such answer. Its text holds nothing of the URL, the headers or the body.
    """
    answer = await ask("GET", url, headers, parameters, seconds=SECONDS)
    if answer.status != HTTPStatus.OK:
        raise RequestFailed(f"it answered with status {answer.status}")
    for name, value in (expect or {}).items():
        if answer.headers.get(name) != value:
            raise RequestFailed(f"its answer has no {name} header, so it is something else")
    return answer.body


async def ask(
    method: str,
    url: str,
    headers: Mapping[str, str],
    parameters: Mapping[str, str] | None = None,
    *,
    form: Mapping[str, str] | None = None,
    ca: str | None = None,
    seconds: float,
) -> Answer:
    """Whatever is answered, within so many seconds in all.

    A proxy of the environment is used for https alone: what is asked in clear is on this machine.

    Args:
        method: of HTTP.
        url: as of `get`.
        headers: as of `get`.
        parameters: as of `get`.
        form: what is posted.
        ca: PEM file of the authorities that may sign the certificate; None are the system's.
        seconds: for the connection, the request and the answer.

    Raises:
        Untrusted, RequestFailed: there is none. Their texts hold nothing of the URL, the headers or the body.
        ValueError: the file of authorities can't be used; a sentence.
    """
    # Imported here: most commands need no HTTP, and it takes a tenth of a second.
    import httpx2

    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise RequestFailed("its address is not a URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _METADATA | LOOPBACK):
        raise RequestFailed("its address is neither https nor on this machine")
    verify: bool | ssl.SSLContext = True if ca is None else trusting(ca)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            client = httpx2.AsyncClient(
                verify=verify, timeout=seconds, follow_redirects=False, trust_env=parts.scheme == "https"
            )
            target = httpx2.URL(url).copy_merge_params(dict(parameters or {}))
            sent = {"Accept-Encoding": "identity", **headers}
            async with client, client.stream(method, target, headers=sent, data=form) as response:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_BODY:
                        raise RequestFailed("its answer is too large")
                return Answer(response.status_code, response.headers, bytes(body))
    except (TimeoutError, httpx2.TimeoutException):
        raise RequestFailed(f"it did not answer within {seconds:.0f} seconds") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        if "CERTIFICATE_VERIFY" in str(error):
            raise Untrusted("its certificate is not trusted") from None
        raise RequestFailed(f"it could not be reached ({_why(error)})") from None


def _why(error: BaseException) -> str:
    """The system's own word, where it is the cause; it quotes nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and cause.errno:
            return os.strerror(cause.errno) if cause.errno > 0 else "no such host"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def trusting(ca: str | None) -> ssl.SSLContext:
    """TLS that believes the authorities in this PEM file (None: the system's). Raises ValueError with a sentence."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no PEM certificates"
        raise ValueError(f"the gateway's authority {ca}: {why}") from None
