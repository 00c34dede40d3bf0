"""`Fetch` over HTTP, and forms posted likewise: bounded in size and time, follows no redirect."""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from types import MappingProxyType

import httpx2

from ostiary.identity.fetch import MAX_DOCUMENT_BYTES, PUBLIC, Access, FetchError


class HttpFetch:
    """Fetches an issuer's documents, and posts to its endpoints.

    Args:
        ca_file: PEM file of the authorities that issuers' certificates are verified with, instead of the system's.
        timeout: Seconds for each of connecting, writing and a read. `IssuerKeys` bounds the whole.

    Raises:
        OSError: `ca_file` cannot be read, or holds no certificate.
    """

    def __init__(self, ca_file: str | None = None, timeout: float = 5.0) -> None:
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._timeout = timeout

    async def get(self, url: str, access: Access = PUBLIC) -> bytes:
        """The body of a 200 answer. Raises FetchError."""
        return (await self._ask("GET", url, access, (httpx2.codes.OK,)))[1]

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str], access: Access = PUBLIC
    ) -> tuple[int, bytes]:
        """Status (200, or one of an OAuth error: 400, 401) and body. Raises FetchError."""
        return await self._ask("POST", url, access, (200, 400, 401), headers, form)

    async def _ask(
        self,
        method: str,
        url: str,
        access: Access,
        wanted: Collection[int],
        more: Mapping[str, str] = MappingProxyType({}),
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **more}
        tls = self._tls
        try:
            if access.ca_file is not None:
                tls = await asyncio.to_thread(ssl.create_default_context, cafile=access.ca_file)
            if access.token_file is not None:
                token = await asyncio.to_thread(access.token_file.read_text, "ascii")
                headers["Authorization"] = f"Bearer {token.strip()}"
        except (OSError, ValueError) as error:
            raise FetchError(f"the files it is asked with could not be read ({type(error).__name__})") from None
        # Loopback (the only http there is) is never reached through a proxy of the environment. A client for each
        # fetch keeps no connection open: there is at most one fetch in half a minute for each issuer.
        client = httpx2.AsyncClient(
            verify=tls, timeout=self._timeout, follow_redirects=False, trust_env=url.startswith("https:")
        )
        try:
            async with client, client.stream(method, url, headers=headers, data=form) as response:
                if response.status_code not in wanted:
                    raise FetchError(f"it answered with status {response.status_code}")
                if "content-encoding" in response.headers:
                    raise FetchError("it answered in a compressed form that was not asked for")
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_DOCUMENT_BYTES:
                        raise FetchError("its answer is too large")
                return response.status_code, bytes(body)
        except httpx2.TimeoutException:
            raise FetchError("it did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise FetchError(f"it could not be reached ({type(error).__name__})") from None
