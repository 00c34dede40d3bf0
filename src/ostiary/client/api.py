"""A gateway's REST API, called with a token."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

from ostiary.core import Secret

if TYPE_CHECKING:
    import httpx2

SECONDS: Final = 40.0
#: Bytes of an answer, and of a line of a stream.
_MAX_BODY: Final = 16 << 20
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SHOWN: Final = 2000
_STREAM: Final = "application/x-ndjson"


class ApiFailed(Exception):  # noqa: N818 - a state
    """It was not done. The text is a sentence; `hint` is the next step.

    Both may be the gateway's words: make them printable before a terminal sees them.

    Attributes:
        status: of HTTP; 0: the gateway gave no answer.
        problem: last part of the problem's type (RFC 9457): "denied", "not-found"; "" when it is none.
        rules: of policy, that denied it.
        errors: what is wrong with the request, a line a part.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        status: int = 0,
        problem: str = "",
        rules: tuple[str, ...] = (),
        errors: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status
        self.problem = problem
        self.rules = rules
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Answer:
    """A success.

    Attributes:
        body: None where there is nothing new (304).
        etag: for `if_match` and `if_none_match`; "" without one.
    """

    body: dict[str, Any] | None
    etag: str = ""


class Api:
    """One gateway's API. Connections are kept until `close`.

    Args:
        url: `https://HOST:PORT`; http on a loopback address.
        token: sent as a bearer token; asked for anew at each request where it is a function.
        ca: PEM file of its certificate authority; None: the system's.

    Raises:
        ValueError: a sentence.
    """

    def __init__(self, url: str, token: Secret | Callable[[], Secret], ca: Path | None = None) -> None:
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            host = None
        if host is None or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
            raise ValueError("the API's address is written https://HOST:PORT")
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/api/v1"
        self._token = token
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no PEM certificates"
            raise ValueError(f"the gateway's authority {ca}: {why}") from None
        self._client: httpx2.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What is there. Raises ApiFailed. `path` begins with a slash; of `query` what is None or "" is left out."""
        return self.send("GET", path, query=query).body or {}

    def post(
        self, path: str, body: Mapping[str, Any], *, if_match: str = "", key: str = "", seconds: float = SECONDS
    ) -> dict[str, Any]:
        """The answer to a change. Raises ApiFailed."""
        return self.send("POST", path, body, if_match=if_match, key=key, seconds=seconds).body or {}

    def patch(self, path: str, body: Mapping[str, Any], *, if_match: str = "") -> dict[str, Any]:
        """The answer to a change of a part. Raises ApiFailed."""
        return self.send("PATCH", path, body, if_match=if_match).body or {}

    def put(self, path: str, body: Mapping[str, Any], *, if_match: str = "") -> dict[str, Any]:
        """The answer to a replacement. Raises ApiFailed."""
        return self.send("PUT", path, body, if_match=if_match).body or {}

    def delete(self, path: str, *, if_match: str = "") -> dict[str, Any]:
        """The answer to a removal. Raises ApiFailed."""
        return self.send("DELETE", path, if_match=if_match).body or {}

    def pages(self, path: str, query: Mapping[str, Any] | None = None, limit: int = 200) -> Iterator[dict[str, Any]]:
        """The items of a list, all its pages in turn, `limit` items each. Raises ApiFailed."""
        cursor = ""
        while True:
            page = self.get(path, {**(query or {}), "limit": limit, "cursor": cursor})
            items, following = page.get("items"), page.get("next")
            if not isinstance(items, list):
                raise ApiFailed("the API's answer is no list", "is it the API of a gateway?")
            yield from (item for item in items if isinstance(item, dict))
            if not isinstance(following, str) or following in ("", cursor):
                return
            cursor = following

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        if_match: str = "",
        if_none_match: str = "",
        key: str = "",
        seconds: float = SECONDS,
    ) -> Answer:
        """Any request. `key`: Idempotency-Key; `seconds`: for which the gateway may be silent. Raises ApiFailed."""
        conditions = {"If-Match": if_match, "If-None-Match": if_none_match, "Idempotency-Key": key}
        headers = {name: value for name, value in conditions.items() if value}
        with self._answering(method, path, query, headers, seconds, body) as response:
            data = _whole(response)
        etag = response.headers.get("ETag", "")
        if response.status_code == 304 and if_none_match:
            return Answer(None, etag)
        return Answer({} if response.status_code == 204 else _read(response.status_code, data), etag)

    def stream(
        self, path: str, query: Mapping[str, Any] | None = None, seconds: float = SECONDS
    ) -> Iterator[bytes | None]:
        """The lines of an answer as they come; None for an empty one, which says that it lives. Raises ApiFailed.

        Args:
            path: as of `get`, like `query`.
            query: what is None or "" is left out.
            seconds: that may pass without a line.
        """
        with self._answering("GET", path, query, {}, seconds) as response:
            if response.status_code != 200 or not response.headers.get("Content-Type", "").startswith(_STREAM):
                _read(response.status_code, _whole(response))
                raise ApiFailed("the API did not answer with a stream", "is it the API of a gateway?")
            line = bytearray()
            for chunk in response.iter_raw():
                *whole, rest = chunk.split(b"\n")
                for part in whole:
                    line += part
                    yield bytes(line) or None
                    line.clear()
                line += rest
                if len(line) > _MAX_BODY:
                    raise ApiFailed("a line of the API's answer is too large", "is it the API of a gateway?")
            if line:
                raise ApiFailed("the API's answer broke off", "try again")

    @contextmanager
    def _answering(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        seconds: float,
        body: Mapping[str, Any] | None = None,
    ) -> "Iterator[httpx2.Response]":
        # Imported here: most commands need no HTTP, and it takes a tenth of a second.
        import httpx2

        trusting = self._url.startswith("https:")
        parameters = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        sent = {"Accept-Encoding": "identity", "Accept": f"application/json, {_STREAM}", **headers}
        if method == "PATCH":
            # RFC 7396.
            sent["Content-Type"] = "application/merge-patch+json"
        token = self._token if isinstance(self._token, Secret) else self._token()
        try:
            sent["Authorization"] = f"Bearer {token.reveal().decode('ascii')}"
        except UnicodeDecodeError:
            raise ApiFailed("the token is not one: it holds more than ASCII", "get another one", 401) from None
        try:
            if self._client is None:
                self._client = httpx2.Client(verify=self._tls, timeout=SECONDS, trust_env=trusting)
            with self._client.stream(
                method,
                f"{self._url}{path}",
                params=parameters,
                headers=sent,
                json=None if body is None else dict(body),
                timeout=seconds,
            ) as response:
                yield response
        except httpx2.ConnectError as error:
            what = "its certificate is not trusted" if "CERTIFICATE_VERIFY" in str(error) else "is it up?"
            raise ApiFailed(f"the API could not be reached: {what}", "check its address, and --ca") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            raise ApiFailed(f"the API could not be asked ({type(error).__name__})", "try again") from None


def part(name: str) -> str:
    """A name as one part of a path. Raises ValueError for what can't be one."""
    if name in ("", ".", ".."):
        raise ValueError(f'"{name}" is no name')
    return quote(name, safe="")


def _whole(response: "httpx2.Response") -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > _MAX_BODY:
            raise ApiFailed("the API's answer is too large", "is it the API of a gateway?")
    return bytes(data)


def _read(status: int, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ApiFailed(f"the API answered with status {status} and no JSON", "is it the API of a gateway?", status)
    if status >= 400:
        raise ApiFailed(
            str(found.get("detail", status))[:_SHOWN],
            str(found.get("hint") or "")[:_SHOWN],
            status,
            str(found.get("type", "")).rpartition(":")[2][:64],
            tuple(str(rule)[:200] for rule in _listed(found, "rules")),
            tuple(
                f"{str(each.get('place', ''))[:200]}: {str(each.get('message', ''))[:500]}"
                for each in _listed(found, "errors")
                if isinstance(each, dict)
            ),
        )
    return found


def _listed(found: Mapping[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value[:20] if isinstance(value, list) else []
