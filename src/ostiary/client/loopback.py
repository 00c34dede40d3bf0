"""Where the browser comes back to (RFC 8252 §7.3): one request of one shape, on a port of loopback.

Every process of this machine can reach it. What does not carry the state is answered and forgotten, and the wait goes
on: nobody who can't read the state can end a login, let alone choose whose it is.
"""

import asyncio
import hmac
import re
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from ostiary.client.oauth import OAuthFailed
from ostiary.core import Secret, printable

HOST: Final = "127.0.0.1"
PATH: Final = "/callback"
_MAX_REQUEST: Final = 16 * 1024
#: Seconds for one request.
_SECONDS: Final = 5.0
#: The oldest connection is dropped for one more: a browser has asked long before.
_MOST: Final = 32
_MAX_TEXT: Final = 300
_REQUEST: Final = re.compile(rb"GET /callback\?([!-~]{1,8192}) HTTP/1\.[01]\r\n")
_HOST_HEADER: Final = re.compile(rb"\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_DONE: Final = "You can close this window and go back to the terminal."
_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8",
    "Cache-Control: no-store",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    "Connection: close",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A listener that waits for the answer.

    Attributes:
        redirect_uri: where the browser is sent to.
        answered: the code; OAuthFailed where the gateway refused, or another one answered.
    """

    redirect_uri: str
    answered: "asyncio.Future[Secret]"


@asynccontextmanager
async def listening(state: Secret, issuer: str) -> AsyncIterator[Waiting]:
    """Listen until the end of the context. Raises OSError.

    Args:
        state: that the answer must carry.
        issuer: that must have answered (`iss`, RFC 9207).
    """
    answered: asyncio.Future[Secret] = asyncio.get_running_loop().create_future()
    open_ones: deque[asyncio.StreamWriter] = deque()
    host = ""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        if len(open_ones) > _MOST:
            open_ones.popleft().transport.abort()
        try:
            async with asyncio.timeout(_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                status, text = _take(request, host, state, issuer, answered)
                writer.write(_page(status, text))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            if writer in open_ones:
                open_ones.remove(writer)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, limit=_MAX_REQUEST)
    async with server:
        host = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        try:
            yield Waiting(f"http://{host}{PATH}", answered)
        finally:
            answered.cancel()
            for writer in [*open_ones]:
                writer.close()


def _take(request: bytes, host: str, state: Secret, issuer: str, answered: "asyncio.Future[Secret]") -> tuple[str, str]:
    """Settle `answered` if this is the answer; a status and a text for whoever asked."""
    line = _REQUEST.match(request)
    # A name that a page elsewhere had point here (DNS rebinding) is another host.
    if line is None or _HOST_HEADER.findall(request) != [host.encode()]:
        return "404 Not Found", "There is nothing here."
    try:
        pairs = parse_qsl(line[1].decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        pairs = []
    said = dict(pairs)
    if len(said) != len(pairs) or not hmac.compare_digest(said.get("state", "").encode(), state.reveal()):
        return "400 Bad Request", "This is not the login that is waited for."
    if answered.done():
        return "410 Gone", "The login is over."
    if said.get("iss") != issuer:
        answered.set_exception(OAuthFailed("another issuer answered than the one that was asked", "don't log in there"))
    elif "error" in said:
        why = said.get("error_description") or said["error"]
        answered.set_exception(OAuthFailed(f"the login was refused: {printable(why[:_MAX_TEXT])}", "try again"))
    elif said.get("code"):
        answered.set_result(Secret(said["code"]))
        return "200 OK", _DONE
    else:
        answered.set_exception(OAuthFailed("the answer holds no code", "try again"))
    return "200 OK", f"The login failed; the terminal says why. {_DONE}"


def _page(status: str, text: str) -> bytes:
    body = f"<!doctype html><title>Ostiary</title><p>{text}</p>\n".encode()
    head = "\r\n".join([f"HTTP/1.1 {status}", *_HEADERS, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body
