"""What a gateway, or what stands in its place with the right certificate, can and can't do to a local client."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ostiary.client import gateway as way
from ostiary.client import local as here
from ostiary.client.fresh import FreshToken
from ostiary.client.gateway import Gateway, Streams
from ostiary.client.local import LocalTarget
from ostiary.client.settings import Address
from ostiary.client.sources import NoIdentity
from ostiary.client.token import Token
from ostiary.core import Secret
from ostiary.protocols.postgres.framing import message
from tests.client.test_startup import V3, packed
from tests.real.certificates import Authority

TOKEN = "a-token-canary-77"
STARTUP = message(b"", V3.to_bytes(4, "big") + packed(("user", "me"), ("database", "orders")))
OK = message(b"R", b"\0\0\0\0")
CLEARTEXT = message(b"R", b"\0\0\0\3")
READY = message(b"Z", b"I")
FATAL = message(b"E", b"SFATAL\0C28000\0Mtoken refused\0\0")

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class World:
    """A gateway that follows a script, and a local way to it."""

    def __init__(self, tmp_path: Path, script: Script) -> None:
        authority = Authority("client tests")
        certificate, key = authority.issue("gateway", ["127.0.0.1"])
        self.ca, chain = tmp_path / "ca.crt", tmp_path / "gateway.pem"
        self.ca.write_bytes(authority.certificate_pem)
        chain.write_bytes(certificate + key)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(chain)
        self.script = script
        #: Everything the gateway was sent.
        self.heard = b""
        self.identity = True

    async def find(self) -> Token:
        """The job's token."""
        if not self.identity:
            raise NoIdentity("there is no token", "get one")
        return Token(Secret(TOKEN), "test")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.script(reader, writer)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def hear(self, reader: asyncio.StreamReader, size: int) -> bytes:
        """So many bytes."""
        data = await reader.readexactly(size)
        self.heard += data
        return data

    @asynccontextmanager
    async def client(self, password: Secret | None = None) -> AsyncIterator[Streams]:
        """A local client's connection."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1], "127.0.0.1", str(self.ca))
        local = LocalTarget(Gateway(address), FreshToken(self.find, lambda: 0.0), "orders", password)
        listener = await asyncio.start_server(local.accept, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            listener.close()
            await local.close()
            server.close()


async def logged_in(world: World, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a gateway does when all is well."""
    size = int.from_bytes(await world.hear(reader, 4), "big")
    await world.hear(reader, size - 4)
    writer.write(CLEARTEXT)
    await world.hear(reader, 5 + len(TOKEN) + 1)
    writer.write(OK + READY)
    await writer.drain()


async def talk(world: World, sent: bytes = STARTUP, password: Secret | None = None) -> bytes:
    """All that a client is told that sends this and waits."""
    async with asyncio.timeout(10), world.client(password) as (reader, writer):
        writer.write(sent)
        return await reader.read()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (OK + READY, b"something else than a token"),
        (message(b"R", b"\0\0\0\5salt"), b"something else than a token"),
        (message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), b"something else than a token"),
        (READY, b"something else than a token"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"does not speak PostgreSQL"),
        (b"R\0\0\0\1", b"does not speak PostgreSQL"),
        (b"", b"hung up during the login"),
        (b"R\0\0", b"hung up during the login"),
    ],
)
async def test_a_gateway_that_speaks_out_of_turn_gets_no_token(tmp_path: Path, said: bytes, why: bytes) -> None:
    """The token answers one question alone; anything else ends the login with a sentence for the client."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await world.hear(reader, len(STARTUP))
        writer.write(said)
        world.heard += await reader.read(65536) if said else b""

    world = World(tmp_path, script)
    told = await talk(world)
    assert told[:1] == b"E"
    assert why in told
    assert TOKEN.encode() not in world.heard + told


async def test_the_token_is_sent_once(tmp_path: Path) -> None:
    """Asked for a second time, it is not given."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await world.hear(reader, 4), "big")
        await world.hear(reader, size - 4)
        writer.write(CLEARTEXT + CLEARTEXT)
        world.heard += await reader.read(65536)
        world.heard += await reader.read(65536)

    world = World(tmp_path, script)
    assert b"something else than a token" in await talk(world)
    assert world.heard.count(TOKEN.encode()) == 1


async def test_words_of_the_gateway_reach_the_client(tmp_path: Path) -> None:
    """Notices and version negotiation before the answer, a refusal as it is, in the order they came."""
    notice, version = message(b"N", b"SNOTICE\0Mheld\0\0"), message(b"v", b"\0\3\0\0\0\0\0\0")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(version + notice + FATAL)

    assert await talk(World(tmp_path, script)) == version + notice + FATAL


async def test_a_gateway_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login's time is bounded."""
    monkeypatch.setattr(way, "SECONDS", 0.3)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()

    assert b"did not let the client in" in await talk(World(tmp_path, script))


async def test_last_words_are_delivered(tmp_path: Path) -> None:
    """A session that the gateway ends, ends with its sentence, though the client goes on sending."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await logged_in(world, reader, writer)
        await world.hear(reader, 5_000_000)
        writer.write(b"x" * 3_000_000 + FATAL)

    world = World(tmp_path, script)
    async with asyncio.timeout(10), world.client() as (reader, writer):
        writer.write(STARTUP)
        assert await reader.readexactly(len(OK + READY)) == OK + READY
        writer.write(b"y" * 5_000_000)
        told = await reader.readexactly(1)
        writer.write(b"z" * 1000)
        told += await reader.read()
    assert told == b"x" * 3_000_000 + FATAL


async def test_bytes_pass_unchanged_both_ways(tmp_path: Path) -> None:
    """Megabytes in both directions at once, and the end of one is the end of the other."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await logged_in(world, reader, writer)
        for _ in range(64):
            writer.write(await reader.readexactly(65536))
            await writer.drain()

    world = World(tmp_path, script)
    sent = bytes(range(256)) * 256 * 64
    async with asyncio.timeout(20), world.client() as (reader, writer):
        writer.write(STARTUP)
        await reader.readexactly(len(OK + READY))
        writer.write(sent)
        assert await reader.read() == sent


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"without TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", b"without TLS"),
        (b"\0\0\0\x08\0\2\0\0", b"version 2.0 is not supported"),
        (message(b"", V3.to_bytes(4, "big") + b"user"), b"malformed"),
        (bytes.fromhex("0000000804d2162f") * 3, b"asked for too often"),
    ],
)
async def test_what_is_no_client_of_postgresql_is_told_so(tmp_path: Path, sent: bytes, why: bytes) -> None:
    """Before the gateway is asked for anything."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        world.heard += b"dialled"
        await reader.read()

    world = World(tmp_path, script)
    assert why in await talk(world, sent)
    assert world.heard == b""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (message(b"p", b"guess\0"), b"nobody else"),
        (message(b"p", b"\0"), b"nobody else"),
        (message(b"p", b"local\0more\0"), b"nobody else"),
        (message(b"Q", b"SELECT 1\0"), b"expected the password"),
        (b"p\x7f\xff\xff\xff", b"expected the password"),
    ],
)
async def test_a_local_password_is_asked_before_anything_else(tmp_path: Path, answer: bytes, why: bytes) -> None:
    """Whoever does not know it causes no connection and no token."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        world.heard += b"dialled"
        await logged_in(world, reader, writer)

    world = World(tmp_path, script)
    assert why in await talk(world, STARTUP + answer, Secret("local"))
    assert world.heard == b""
    async with asyncio.timeout(10), world.client(Secret("local")) as (reader, writer):
        writer.write(STARTUP + message(b"p", b"local\0"))
        assert await reader.readexactly(len(CLEARTEXT + OK + READY)) == CLEARTEXT + OK + READY


async def test_without_a_token_the_client_is_told(tmp_path: Path) -> None:
    """And the gateway is not dialled."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer
        world.heard += b"dialled"

    world = World(tmp_path, script)
    world.identity = False
    assert b"Mthere is no token\0Hget one\0" in await talk(world)
    assert world.heard == b""


async def test_clients_are_bounded_in_number_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told so; one that says nothing is hung up on."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer

    monkeypatch.setattr(here, "SECONDS", 0.3)
    assert b"the login took longer" in await talk(World(tmp_path, script), b"\0\0\0")
    monkeypatch.setattr(here, "MAX_CLIENTS", 0)
    assert b"C53300\0" in await talk(World(tmp_path, script))
