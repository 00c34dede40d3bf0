"""The API's client: what it refuses to ask, and what it makes of answers."""

import json
from pathlib import Path

import pytest

from ostiary.client.api import Api, ApiFailed, _read
from ostiary.core import Secret

TOKEN = Secret("canary-token")


@pytest.mark.parametrize("url", ["", "gw:8443", "http://gw.example:8443", "ftp://gw", "https://", "https://[x"])
def test_no_token_in_the_clear(url: str) -> None:
    """Only TLS, or this machine."""
    with pytest.raises(ValueError, match="the API's address is written https://HOST:PORT"):
        Api(url, TOKEN)


def test_authorities(tmp_path: Path) -> None:
    """A file that is none is named."""
    (tmp_path / "no.pem").write_text("no")
    for name in ("no.pem", "missing.pem"):
        with pytest.raises(ValueError, match=rf"the gateway's authority .*{name}: "):
            Api("https://gw", TOKEN, tmp_path / name)


def test_answers() -> None:
    """An error is told in the gateway's words; what is no answer of a gateway is told as that."""
    assert _read(200, b'{"closed": true}') == {"closed": True}
    told = json.dumps({"detail": "denied", "hint": "ask"}).encode()
    with pytest.raises(ApiFailed, match=r"^denied$") as failed:
        _read(403, told)
    assert (failed.value.status, failed.value.hint) == (403, "ask")
    for data in (b"", b"<html>", b"[]", b"[" * 100_000):
        with pytest.raises(ApiFailed, match="status 200 and no JSON"):
            _read(200, data)


def test_tokens_that_are_none() -> None:
    """Are not sent, nor shown."""
    with pytest.raises(ApiFailed) as failed:
        Api("https://gw", Secret("caf\u00e9")).post("/x", {})
    assert failed.value.status == 401
    assert "caf" not in str(failed.value)
