"""The endpoints that people log in at (RFC 6749, 7636, 8414, 8628, 9207), on loopback, for one person.

Refresh tokens rotate, and one that comes a second time ends its login, as at a gateway.
"""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass
class Endpoints:
    """What they are to say, and what they were asked."""

    url: str = ""
    #: Laid over the metadata, and over what the browser takes back.
    metadata: dict[str, Any] = field(default_factory=dict)
    back: dict[str, str] = field(default_factory=dict)
    #: Seconds that an access token lives; seconds that a token request takes.
    lifetime: float = 600.0
    takes: float = 0.0
    #: Answers of the token endpoint, in place of a grant: error codes.
    refusals: list[str] = field(default_factory=list)
    forms: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    challenges: dict[str, dict[str, str]] = field(default_factory=dict)
    refresh: str = ""
    access: str = ""
    reused: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes next."""
        assert query["response_type"] == "code"
        assert query["client_id"] == "ostiary-cli"
        assert query["code_challenge_method"] == "S256"
        assert urlsplit(query["redirect_uri"]).hostname == "127.0.0.1"
        code = secrets.token_hex(16)
        self.challenges[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.url, **self.back}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def post(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        self.forms.append((path, form))
        assert form["client_id"] == "ostiary-cli"
        match path:
            case "/revoke":
                self.refresh = self.access = ""
                return 200, {}
            case "/device":
                uri = f"{self.url}/enter"
                code = {"device_code": "dev1ce-canary", "user_code": "WDJB-MJHT", "verification_uri": uri}
                return 200, {**code, "expires_in": 60, "interval": 0.05}
            case "/token":
                self.ending.wait(self.takes)
                return self.token(form)
        return 404, {}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """A grant, or why not."""
        if self.refusals:
            return 400, {"error": self.refusals.pop(0), "error_description": "no \x1b[2J\u202e"}
        if form["grant_type"] == "authorization_code":
            asked = self.challenges.pop(form["code"])
            digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
            assert asked["code_challenge"] == digest.decode()
            assert asked["redirect_uri"] == form["redirect_uri"]
        elif form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
            self.reused += 1
            self.refresh = ""
            return 400, {"error": "invalid_grant", "error_description": "it was used before"}
        self.access, self.refresh = (f"canary-{name}-{secrets.token_hex(8)}" for name in ("access", "refresh"))
        granted = {"access_token": self.access, "refresh_token": self.refresh, "token_type": "Bearer"}
        return 200, {**granted, "expires_in": self.lifetime}


@contextmanager
def serving() -> Iterator[Endpoints]:
    """Serve until the end of the context."""
    here = Endpoints()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/oauth-authorization-server":
                paths = {
                    "authorization": "/authorize",
                    "token": "/token",
                    "device_authorization": "/device",
                    "revocation": "/revoke",
                }
                document = {f"{name}_endpoint": here.url + path for name, path in paths.items()}
                self._say(200, {"issuer": here.url, **document, **here.metadata})
            elif parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", here.authorize(query))
                self.end_headers()
            elif self.headers["Authorization"] == f"Bearer {here.access}" and here.access:
                self._say(
                    200, {"principal": "local:dana\x1b[2J", "kind": "human", "proof": "access-token", "groups": ["dba"]}
                )
            else:
                self._say(401, {"detail": "no"})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._say(*here.post(self.path, {name: values[0] for name, values in parse_qs(body).items()}))

        def _say(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield here
    finally:
        here.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
