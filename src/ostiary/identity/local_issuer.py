"""An OIDC issuer in a hundred lines, FOR THE DEMO AND THE TESTS ONLY.

It signs whatever its own process asks it to sign, keeps its key in memory, and listens on 127.0.0.1 alone. The
socket serves two public documents (discovery, JWKS) and nothing else: nobody outside the process can have a token
made. As it answers `get(url)` too, it serves as the `Fetch` of `OidcIdentity` where a test wants no socket.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from joserfc import jwt
from joserfc.jwk import ECKey

from ostiary.core import Secret
from ostiary.identity.fetch import PUBLIC, Access

_DISCOVERY: Final = "/.well-known/openid-configuration"
_JWKS: Final = "/jwks"
_REQUEST_BYTES: Final = 8192
_REQUEST_SECONDS: Final = 5.0


class LocalIssuer:
    """`async with LocalIssuer() as issuer:` serves on a free port; `mint` works without serving, too.

    Args:
        port: TCP port on 127.0.0.1; 0 lets the system choose one at `start`.
        clock: Unix seconds.
    """

    def __init__(self, port: int = 0, clock: Callable[[], float] = time.time) -> None:
        self._port = port
        self._clock = clock
        self._keys = [_new_key()]
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The issuer, exactly as tokens carry it in `iss`: "http://127.0.0.1:PORT"."""
        return f"http://127.0.0.1:{self._port}"

    def mint(self, subject: str, audience: str | list[str], lifetime: float = 300.0, **claims: object) -> Secret:
        """A signed token.

        Args:
            subject: The `sub` claim.
            audience: The `aud` claim.
            lifetime: Seconds from now to `exp`.
            claims: Further claims; they win over those this method sets.
        """
        now = int(self._clock())
        times = {"iat": now, "nbf": now, "exp": now + int(lifetime)}
        payload = {"iss": self.url, "sub": subject, "aud": audience, "jti": secrets.token_hex(8), **times, **claims}
        key = self._keys[-1]
        return Secret(jwt.encode({"alg": "ES256", "kid": key.kid}, payload, key, ["ES256"]))

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Tokens of the old keys verify while those stay published."""
        self._keys = [*(self._keys if keep_old else ()), _new_key()]

    async def get(self, url: str, access: Access = PUBLIC) -> bytes:
        """The document at `url`. Raises LookupError when this issuer has none there."""
        return self._document(url.removeprefix(self.url))

    async def start(self) -> Self:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=_REQUEST_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening, and hang up."""
        if self._server is not None:
            self._server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _document(self, path: str) -> bytes:
        if path == _DISCOVERY:
            return json.dumps(
                {
                    "issuer": self.url,
                    "jwks_uri": self.url + _JWKS,
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                }
            ).encode()
        if path == _JWKS:
            return json.dumps({"keys": [key.as_dict(private=False) for key in self._keys]}).encode()
        raise LookupError(path)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.decode("ascii").split(" ", 2)
                status, body = "404 Not Found", b"{}"
                if method == "GET" and path in {_DISCOVERY, _JWKS}:
                    status, body = "200 OK", self._document(path)
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                    "Connection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
            # Not HTTP, too long, too slow or gone: hang up.
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _new_key() -> ECKey:
    return ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
