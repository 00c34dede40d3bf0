"""The HTTP fetch against servers that misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ostiary.identity import FetchError, HttpFetch
from ostiary.identity.fetch import MAX_DOCUMENT_BYTES, Access
from tests.real.certificates import Authority


@asynccontextmanager
async def serving(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives each request this answer; yields its port and the requests."""
    requests: list[bytes] = []
    handlers: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if not answer:
                await reader.read()
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*handlers)


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 answer that ends with the connection."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]).encode() + body


ENDLESS = b"x" * (MAX_DOCUMENT_BYTES + 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response("404 Not Found"), "status 404"),
        (response("302 Found", b"", "Location: https://evil.example/"), "status 302"),
        (response("301 Moved", b"", "Location: /elsewhere"), "status 301"),
        (response("200 OK", ENDLESS), "its answer is too large"),
        (response("200 OK", b"x", "Content-Encoding: gzip"), "compressed form"),
        (response("200 OK", b"x", "Content-Length: 100"), "could not be reached"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "could not be reached"),
        (b"", "it did not answer in time"),
    ],
)
async def test_bad_answers_are_reasons(answer: bytes, reason: str) -> None:
    """Each bad answer is a FetchError with its clause, and one request at most is made."""
    async with serving(answer) as (port, requests):
        with pytest.raises(FetchError, match=reason):
            await HttpFetch(timeout=0.2).get(f"http://127.0.0.1:{port}/x")
        assert len(requests) == 1


async def test_a_body_is_fetched_without_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly, whatever the environment says; no compression is asked for."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(response("200 OK", b"{}")) as (port, requests):
        assert await HttpFetch().get(f"http://127.0.0.1:{port}/x") == b"{}"
    assert b"accept-encoding: identity" in requests[0].lower()


async def test_nobody_listens() -> None:
    """A closed port is a reason, too."""
    with pytest.raises(FetchError, match=r"could not be reached \(ConnectError\)"):
        await HttpFetch().get("http://127.0.0.1:1/x")


async def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority of ours is believed for the name it certified; a stranger's, or another name's, is not."""
    monkeypatch.setenv("NO_PROXY", "*")
    ours = Authority("issuer authority")
    (tmp_path / "ca.pem").write_bytes(ours.certificate_pem)
    for authority, host, good in (
        (ours, "127.0.0.1", True),
        (ours, "other", False),
        (Authority("x"), "127.0.0.1", False),
    ):
        certificate, key = authority.issue("issuer", [host])
        (tmp_path / "server.pem").write_bytes(certificate + key)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(tmp_path / "server.pem")
        async with serving(response("200 OK", b"{}"), tls) as (port, _):
            fetch = HttpFetch(str(tmp_path / "ca.pem"))
            if good:
                assert await fetch.get(f"https://127.0.0.1:{port}/x") == b"{}"
            else:
                with pytest.raises(FetchError, match="could not be reached"):
                    await fetch.get(f"https://127.0.0.1:{port}/x")


async def test_an_issuer_with_an_authority_and_a_token_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cluster's API wants it: files are read anew each time, what is not said of it is not sent."""
    monkeypatch.setenv("NO_PROXY", "*")
    cluster = Authority("cluster")
    ca, token = tmp_path / "ca.crt", tmp_path / "token"
    ca.write_bytes(cluster.certificate_pem)
    certificate, key = cluster.issue("api", ["127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(certificate + key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem")
    async with serving(response("200 OK", b"{}"), tls) as (port, requests):
        url = f"https://127.0.0.1:{port}/openid/v1/jwks"
        for value in ("first", "second"):
            token.write_text(f"{value}\n")
            assert await HttpFetch().get(url, Access(ca, token)) == b"{}"
            assert f"authorization: bearer {value}\r\n" in requests[-1].decode().lower()
        assert await HttpFetch(str(ca)).get(url) == b"{}"
        assert b"authorization" not in requests[-1].lower()
        token.write_text("a\r\nb: c")
        with pytest.raises(FetchError, match="could not be"):
            await HttpFetch().get(url, Access(ca, token))
        for missing in (Access(tmp_path / "no"), Access(ca, tmp_path / "no")):
            with pytest.raises(FetchError, match=r"files it is asked with could not be read \(FileNotFoundError\)"):
                await HttpFetch().get(url, missing)
        assert len(requests) == 3
