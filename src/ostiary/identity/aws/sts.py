"""Asking STS: a POST with a body of ours, to a host of ours; bounded in size and time, follows no redirect."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import httpx2

from ostiary.identity.aws.proof import BODY

MAX_ANSWER_BYTES: Final = 16 * 1024


class StsUnavailable(Exception):  # noqa: N818 - reads as what happened
    """No answer. The text is a clause for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of STS."""

    status: int
    content_type: str
    body: bytes


class Sts(Protocol):
    """`GetCallerIdentity`, nothing else."""

    async def ask(self, host: str, headers: Mapping[str, str]) -> Answer:
        """POST to `https://HOST/`. Raises StsUnavailable."""
        ...


class HttpSts:
    """STS over HTTPS.

    Args:
        transport: instead of one of its own that verifies with the system's authorities.
        timeout: Seconds for each of connecting, writing and a read.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None, timeout: float = 3.0) -> None:
        self._transport = transport
        self._tls = ssl.create_default_context()
        self._timeout = timeout

    async def ask(self, host: str, headers: Mapping[str, str]) -> Answer:
        """As the protocol."""
        sent = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", **headers}
        sent |= {"accept": "text/xml", "accept-encoding": "identity"}
        client = httpx2.AsyncClient(
            verify=self._tls, timeout=self._timeout, follow_redirects=False, transport=self._transport
        )
        try:
            async with client, client.stream("POST", f"https://{host}/", content=BODY, headers=sent) as response:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise StsUnavailable("its answer is too large")
                if "content-encoding" in response.headers:
                    raise StsUnavailable("it answered in a compressed form that was not asked for")
                return Answer(response.status_code, response.headers.get("content-type", ""), bytes(body))
        except httpx2.TimeoutException:
            raise StsUnavailable("it did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise StsUnavailable(f"it could not be reached ({type(error).__name__})") from None
