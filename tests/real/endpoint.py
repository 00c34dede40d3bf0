"""An HTTP endpoint on loopback that says what a test has it say."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Endpoint:
    """An HTTP server on loopback that answers every GET alike, and remembers what it was asked."""

    port: int = 0
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: Makes the body, where it is not always the same.
    answer: Callable[[], bytes] | None = None
    #: Parts of the body come one each so many seconds.
    pause: float = 0.0
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Endpoint]:
    """Serve until the end of the context."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            endpoint.asked.append((parts.path, parse_qs(parts.query), dict(self.headers)))
            body = endpoint.body if endpoint.answer is None else endpoint.answer()
            self.send_response(endpoint.status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.end_headers()
            step = 1 if endpoint.pause else len(body) or 1
            try:
                for at in range(0, len(body), step):
                    self.wfile.write(body[at : at + step])
                    self.wfile.flush()
                    if endpoint.ending.wait(endpoint.pause):
                        return
            except OSError:
                return

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
