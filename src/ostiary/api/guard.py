"""What holds for every request, whatever it is for: size, time, number, media types, headers, conditions, no surprises.

Order: number of requests → media types → size → the application within its time → ETag → security headers.
"""

import asyncio
import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import structlog
from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostiary.api.problems import problem
from ostiary.gate.attempts import network_of

log = structlog.get_logger()

#: Bytes of a request's body.
MAX_BODY: Final = 64 * 1024
#: Requests that are worked on at once, in all and of one network; more are turned away.
MAX_ACTIVE: Final = 64
MAX_OF_ONE: Final = 48
#: Seconds that a request may take from its last header to its last byte; of a stream, to its next one.
SECONDS: Final = 30.0
#: Streams at once, and seconds that one may last.
MAX_STREAMS: Final = 16
STREAM_SECONDS: Final = 3600.0
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HSTS: Final = "max-age=31536000"
_JSON: Final = "application/json"
_BODIES: Final = {"PATCH": "application/merge-patch+json"}
_FORM: Final = "application/x-www-form-urlencoded"


class Guard:
    """The application as the server sees it.

    Args:
        app: what it guards.
        tls: the listener has a certificate.
        slow: path → seconds, where SECONDS is not enough.
        forms: paths whose bodies are forms rather than JSON; one that ends with "/" stands for all below it.
        streams: pattern of paths whose answers go on for long.
        large: path → bytes of a body, where MAX_BODY is not enough.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tls: bool,
        slow: Mapping[str, float],
        forms: Collection[str] = (),
        streams: str = "(?!)",
        large: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._tls = tls
        self._slow = slow
        self._forms = frozenset(forms)
        self._below = tuple(path for path in forms if path.endswith("/"))
        self._streams = re.compile(streams)
        self._large = large or {}
        self._active: Counter[str] = Counter()
        self._streaming = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI; HTTP only."""
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send, self._tls, self._large.get(scope["path"], MAX_BODY))
        refusal = self._unfit(exchange)
        if refusal is not None:
            await refusal(scope, exchange.receive, exchange.send)
            return
        streams = self._streams.fullmatch(scope["path"]) is not None
        if streams and self._streaming >= MAX_STREAMS:
            answer = problem(503, "busy", "the gateway streams to as many as it can", headers={"Retry-After": "10"})
            await answer(scope, exchange.receive, exchange.send)
            return
        self._active[exchange.network] += 1
        self._streaming += streams
        try:
            await (self._stream if streams else self._run)(exchange)
        except Exception:
            # Its response was sent where it arose.
            log.exception("api: a request failed")
        finally:
            self._active[exchange.network] -= 1
            self._active += Counter()
            self._streaming -= streams

    def _unfit(self, exchange: "_Exchange") -> Response | None:
        headers = exchange.headers
        # A body may be long in coming: one client that sends none leaves room for others.
        if self._active.total() >= MAX_ACTIVE or self._active[exchange.network] >= MAX_OF_ONE:
            return problem(503, "busy", "the gateway answers as many requests as it can", headers={"Retry-After": "1"})
        if not _acceptable(headers.getlist("accept")):
            return problem(406, "not-acceptable", f"the API speaks {_JSON}", "leave Accept out, or add it")
        length = headers.get("content-length")
        sent = "transfer-encoding" in headers or (length is not None and length != "0")
        path = exchange.scope["path"]
        media = (
            _FORM
            if path in self._forms or path.startswith(self._below)
            else _BODIES.get(exchange.scope["method"], _JSON)
        )
        if sent and headers.get("content-type", "").partition(";")[0].strip().lower() != media:
            return problem(415, "media-type", f"a body must be {media}", f"send Content-Type: {media}")
        if length is not None and (not length.isdecimal() or len(length) > 9 or int(length) > exchange.most):
            return _too_large(exchange.most)
        return None

    async def _run(self, exchange: "_Exchange") -> None:
        seconds = self._slow.get(exchange.scope["path"], SECONDS)
        try:
            async with asyncio.timeout(seconds):
                if not await exchange.read():
                    return
                app = _too_large(exchange.most) if exchange.too_large else self._app
                await app(exchange.scope, exchange.receive, exchange.send)
        except TimeoutError:
            if exchange.begun:
                raise
            answer = problem(503, "too-slow", f"the request was not done within {seconds:g} s", "ask for less of it")
            await answer(exchange.scope, exchange.receive, exchange.send)

    async def _stream(self, exchange: "_Exchange") -> None:
        """Ended, in the middle, when it has lasted too long or its client reads nothing."""
        loop = asyncio.get_running_loop()
        end = loop.time() + STREAM_SECONDS
        try:
            async with asyncio.timeout(SECONDS) as deadline:

                async def send(message: Message) -> None:
                    await exchange.send(message)
                    deadline.reschedule(min(loop.time() + SECONDS, end))

                if await exchange.read():
                    await self._app(exchange.scope, exchange.receive, send)
        except TimeoutError:
            if not exchange.begun:
                answer = problem(503, "too-slow", f"the request was not begun within {SECONDS:g} s", "try again")
                await answer(exchange.scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, tls: bool, most: int) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        host, port = scope.get("client") or ("", 0)
        self.network = network_of(f"{host}:{port}")
        self.request_id = scope.setdefault("request_id", secrets.token_hex(8))
        #: Part of the response is sent.
        self.begun = False
        self.too_large = False
        self._receive = receive
        self._send = send
        self._tls = tls
        self.most = most
        self._body: bytearray | None = None
        self._start: Message | None = None

    async def read(self) -> bool:
        """Read the body, or as much as may be. False: the client went away."""
        body = self._body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            body += message.get("body", b"")
            self.too_large = len(body) > self.most
            if self.too_large or not message.get("more_body", False):
                return True

    async def receive(self) -> Message:
        """The body at once, then what the server says."""
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    async def send(self, message: Message) -> None:
        """Add what every response has."""
        if message["type"] == "http.response.start":
            # Held back: the ETag is a digest of the body.
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None:
            message = self._complete(start, message)
            self.begun = True
            await self._send(start)
        await self._send(message)

    def _complete(self, start: Message, body: Message) -> Message:
        headers = MutableHeaders(scope=start)
        headers["X-Request-Id"] = self.request_id
        for name, value in _SECURITY.items():
            headers.setdefault(name, value)
        if self._tls:
            headers["Strict-Transport-Security"] = _HSTS
        reads = self.scope["method"] == "GET" and start["status"] == 200 and not body.get("more_body", False)
        reads = reads and headers.get("cache-control") != "no-store"
        headers["Cache-Control"] = "private, no-cache" if reads else "no-store"
        if not reads:
            return body
        etag = headers.setdefault("ETag", f'"{hashlib.sha256(body.get("body", b"")).hexdigest()[:32]}"')
        if matches(self.headers.getlist("if-none-match"), etag):
            start["status"] = 304
            for name in ("content-length", "content-type"):
                del headers[name]
            return {"type": "http.response.body", "body": b""}
        return body


def matches(fields: list[str], etag: str) -> bool:
    """Does an If-Match or If-None-Match (RFC 9110, 13.1) name this entity tag? Weak ones are compared as strong."""
    tags = {tag.strip().removeprefix("W/") for field in fields for tag in field.split(",")}
    return "*" in tags or etag in tags


def _acceptable(fields: list[str]) -> bool:
    """Does Accept (RFC 9110, 12.5.1) admit JSON? What is most specific decides."""
    best: dict[str, bool] = {}
    for field in fields:
        for part in field.split(","):
            media, _, parameters = part.partition(";")
            quality = next((p.strip()[2:] for p in parameters.split(";") if p.strip().lower().startswith("q=")), "1")
            best[media.strip().lower()] = quality.strip().strip("0.") != ""
    for media in (_JSON, "application/*", "*/*"):
        if media in best:
            return best[media]
    return not any(best)


def _too_large(most: int) -> Response:
    headers = {"Connection": "close"}
    return problem(413, "too-large", f"a body has at most {most} bytes", headers=headers)


__all__ = ["MAX_ACTIVE", "MAX_BODY", "MAX_OF_ONE", "SECONDS", "Guard", "matches"]
