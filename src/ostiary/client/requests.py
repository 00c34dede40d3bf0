"""One bounded HTTP request for an identity: no redirect is followed, nothing of the answer is kept but its body."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

SECONDS: Final = 5.0
_MAX_BODY: Final = 256 * 1024
#: Metadata services, which are reached in clear on a link that never leaves the machine.
_METADATA: Final = frozenset({"169.254.169.254", "metadata.google.internal"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class RequestFailed(Exception):  # noqa: N818 - a clause for people, not a fault
    """No answer that can be used; its text is a clause about who was asked: "it answered with status 403"."""


async def get(
    url: str, headers: Mapping[str, str], parameters: Mapping[str, str], *, expect: Mapping[str, str] | None = None
) -> bytes:
    """The body of a 200 answer to a GET, within five seconds in all.

    A proxy of the environment is used for https alone: what is asked in clear is on this machine.

    Args:
        url: https, or http on loopback or at a metadata service; its query is kept.
        headers: of the request.
        parameters: appended to the query.
        expect: headers that the answer must have.

    Raises:
        RequestFailed: there is no such answer. Its text holds nothing of the URL, the headers or the body.
    """
    # Imported here: most commands need no HTTP, and it takes a tenth of a second.
    import httpx2

    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise RequestFailed("its address is not a URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _METADATA | _LOOPBACK):
        raise RequestFailed("its address is neither https nor on this machine")
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            client = httpx2.AsyncClient(timeout=SECONDS, follow_redirects=False, trust_env=parts.scheme == "https")
            target = httpx2.URL(url).copy_merge_params(dict(parameters))
            sent = {"Accept-Encoding": "identity", **headers}
            async with client, client.stream("GET", target, headers=sent) as response:
                if response.status_code != httpx2.codes.OK:
                    raise RequestFailed(f"it answered with status {response.status_code}")
                for name, value in (expect or {}).items():
                    if response.headers.get(name) != value:
                        raise RequestFailed(f"its answer has no {name} header, so it is something else")
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_BODY:
                        raise RequestFailed("its answer is too large")
    except (TimeoutError, httpx2.TimeoutException):
        raise RequestFailed(f"it did not answer within {SECONDS:.0f} seconds") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise RequestFailed(f"it could not be reached ({type(error).__name__})") from None
    return bytes(body)
