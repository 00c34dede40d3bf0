"""A gateway's REST API, called with a token."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ostiary.core import Secret

SECONDS: Final = 40.0
_MAX_BODY: Final = 4 << 20
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ApiFailed(Exception):  # noqa: N818 - a state
    """It was not done. The text is a sentence; `status` is 0 when the gateway gave no answer; `hint` is the next step.

    Both may be the gateway's words: make them printable before a terminal sees them.
    """

    def __init__(self, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


class Api:
    """One gateway's API.

    Args:
        url: `https://HOST:PORT`; http on a loopback address.
        token: sent as a bearer token.
        ca: PEM file of its certificate authority; None: the system's.

    Raises:
        ValueError: a sentence.
    """

    def __init__(self, url: str, token: Secret, ca: Path | None = None) -> None:
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

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a change. Raises ApiFailed."""
        # Imported here: most commands need no HTTP, and it takes a tenth of a second.
        import httpx2

        trusting = self._url.startswith("https:")
        headers = {"Accept-Encoding": "identity"}
        data = bytearray()
        try:
            headers["Authorization"] = f"Bearer {self._token.reveal().decode('ascii')}"
        except UnicodeDecodeError:
            raise ApiFailed("the token is not one: it holds more than ASCII", "get another one", 401) from None
        try:
            with (
                httpx2.Client(verify=self._tls, timeout=SECONDS, trust_env=trusting) as client,
                client.stream("POST", f"{self._url}{path}", json=dict(body), headers=headers) as response,
            ):
                for chunk in response.iter_raw():
                    data += chunk
                    if len(data) > _MAX_BODY:
                        raise ApiFailed("the API's answer is too large", "is it the API of a gateway?")
        except httpx2.ConnectError as error:
            what = "its certificate is not trusted" if "CERTIFICATE_VERIFY" in str(error) else "is it up?"
            raise ApiFailed(f"the API could not be reached: {what}", "check its address, and --ca") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise ApiFailed(f"the API could not be asked ({type(error).__name__})", "try again") from None
        return _read(response.status_code, bytes(data))


def _read(status: int, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ApiFailed(f"the API answered with status {status} and no JSON", "is it the API of a gateway?", status)
    if status >= 400:
        raise ApiFailed(str(found.get("detail", status))[:2000], str(found.get("hint", ""))[:2000], status)
    return found
