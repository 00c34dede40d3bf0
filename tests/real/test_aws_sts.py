"""The whole way of an AWS proof: signed by botocore, asked of an STS over TLS that verifies what it really got."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from botocore.credentials import Credentials

from ostiary.core import Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.identity import AwsIssuer, HttpFetch, Identities
from ostiary.identity.aws.sts import MAX_ANSWER_BYTES, HttpSts, StsUnavailable
from tests.identity.aws_kit import ACCOUNT, FakeSts, answer, signed
from tests.real.certificates import Authority

Answering = Callable[[dict[str, str], str], bytes]
STRANGER = Credentials("AKIAIOSFODNN7EXAMPLE", "other")
HOST = "sts.amazonaws.com"


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 answer that ends with the connection."""
    head = (f"HTTP/1.1 {status}", "Connection: close", *headers, "", "")
    return "\r\n".join(head).encode() + body


def verifying(headers: dict[str, str], body: str) -> bytes:
    """As STS: the signature must be that of the headers and the body that came."""
    if not FakeSts.verifies(headers["host"], headers, body):
        return response("403 Forbidden", b"<ErrorResponse/>", "Content-Type: text/xml")
    return response("200 OK", answer().encode(), "Content-Type: text/xml")


class Elsewhere(httpx2.AsyncHTTPTransport):
    """Connects to a port of this machine, and asks there for the name that was meant."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(verify=tls)
        self._port = port
        self.urls: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.urls.append(str(request.url))
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


@asynccontextmanager
async def sts(tmp_path: Path, answering: Answering, name: str = HOST) -> AsyncIterator[Elsewhere]:
    """An STS under this name."""
    authority = Authority("an authority")
    certificate, key = authority.issue("sts", [name])
    (tmp_path / "server.pem").write_bytes(certificate + key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            assert lines[0] == "POST / HTTP/1.1"
            headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:-2]}
            assert len(headers) == len(lines) - 3
            body = (await reader.readexactly(int(headers["content-length"]))).decode()
            writer.write(answering(headers, body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        except (OSError, EOFError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        trusted = ssl.create_default_context(cadata=authority.certificate_pem.decode())
        yield Elsewhere(server.sockets[0].getsockname()[1], trusted)
    finally:
        server.close()
        await server.wait_closed()


def identities(transport: httpx2.AsyncBaseTransport) -> Identities:
    """As the gateway has it."""
    issuer = AwsIssuer("aws", ("gw.example.com",), {"account": ACCOUNT}, regions=("eu-central-1",))
    return Identities([issuer], HttpFetch(), time.time, sts=HttpSts(transport, timeout=2.0))


def proof(token: str) -> Proof:
    """Over TLS."""
    return Proof(Secret(token), "orders", "10.0.0.9:4000", encrypted=True, loopback=False)


async def test_what_was_signed_is_what_is_sent(tmp_path: Path) -> None:
    """The headers that reach STS verify under the caller's signature, with and without a length that was signed."""
    async with sts(tmp_path, verifying) as transport:
        for token in (signed(), signed({"Content-Length": "43"}), signed({"Content-Type": ""})):
            assert (await identities(transport).identify(proof(token))).subject == f"arn:aws:iam::{ACCOUNT}:role/deploy"
        with pytest.raises(Refused, match="STS does not know who signed it"):
            await identities(transport).identify(proof(signed(keys=STRANGER)))
        assert set(transport.urls) == {f"https://{HOST}/"}


async def test_a_server_that_is_not_sts_is_not_asked(tmp_path: Path) -> None:
    """The certificate must be that of the endpoint."""
    async with sts(tmp_path, verifying, "sts.evil.example") as transport:
        with pytest.raises(Refused, match=r"STS is not to be had: it could not be reached \(ConnectError\)"):
            await identities(transport).identify(proof(signed()))


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        (response("200 OK", b"x" * (MAX_ANSWER_BYTES + 1)), "its answer is too large"),
        (response("200 OK", b"x", "Content-Encoding: gzip"), "compressed form"),
        (response("200 OK", b"x", "Content-Length: 100"), "could not be reached"),
        (b"no HTTP\r\n\r\n", "could not be reached"),
    ],
)
async def test_bad_answers_are_reasons(tmp_path: Path, answered: bytes, reason: str) -> None:
    """Each is StsUnavailable with its clause."""
    async with sts(tmp_path, lambda headers, body: answered) as transport:
        with pytest.raises(StsUnavailable, match=reason):
            await HttpSts(transport, timeout=2.0).ask(HOST, {})


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """It is an answer like any other that is not 200."""
    moved = response("307 Temporary Redirect", b"", "Location: https://evil.example/")
    async with sts(tmp_path, lambda headers, body: moved) as transport:
        assert (await HttpSts(transport).ask(HOST, {})).status == 307
        assert transport.urls == [f"https://{HOST}/"]
