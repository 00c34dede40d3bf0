"""The demo's issuer over its socket, read by an ordinary HTTP client and an ordinary JWT library."""

import asyncio
import json

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet

from ostiary.identity.local_issuer import LocalIssuer


async def test_documents_and_tokens_fit_together() -> None:
    """A token minted before and after a rotation verifies with the published keys."""
    async with LocalIssuer() as issuer, httpx2.AsyncClient(trust_env=False) as client:
        first = issuer.mint("shop", "ostiary", 60, repository="acme/shop")
        issuer.rotate()
        second = issuer.mint("shop", "ostiary")
        discovery = (await client.get(f"{issuer.url}/.well-known/openid-configuration")).json()
        keys = KeySet.import_key_set((await client.get(discovery["jwks_uri"])).json())
        assert discovery["issuer"] == issuer.url
        for token in (first, second):
            claims = jwt.decode(token.reveal_text(), keys, ["ES256"]).claims
            assert claims["iss"] == issuer.url
            assert claims["sub"] == "shop"
        assert all("d" not in key for key in (await client.get(discovery["jwks_uri"])).json()["keys"])


async def test_nothing_else_is_served() -> None:
    """Other paths and methods are 404; what is not HTTP is hung up on."""
    async with LocalIssuer() as issuer, httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{issuer.url}/token")).status_code == 404
        assert (await client.post(f"{issuer.url}/jwks")).status_code == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", int(issuer.url.rsplit(":", 1)[1]))
        writer.write(b"\xff\xff\r\n\r\n")
        assert await reader.read() == b""
        writer.close()


async def test_the_issuer_is_a_fetch_without_sockets() -> None:
    """`get` answers what the socket would."""
    issuer = LocalIssuer(port=4444)
    assert json.loads(await issuer.get("http://127.0.0.1:4444/jwks"))["keys"]
