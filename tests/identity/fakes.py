"""An issuer that signs anything, honest or not, and a web that is a dictionary."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from ostiary.core import Principal, Proof, Secret
from ostiary.identity import OidcIdentity, OidcIssuer
from ostiary.identity.fetch import PUBLIC, Access

URL = "https://issuer.example"
NOW = 1_800_000_000.0
AnyKey = RSAKey | ECKey | OKPKey | OctKey

SIGNERS = {algorithm.name: algorithm for algorithm in JWS_ALGORITHMS}


def ec_key(kid: str = "k1", curve: str = "P-256") -> ECKey:
    """A key whose public part says what it is for."""
    return ECKey.generate_key(curve, {"kid": kid, "use": "sig"})


def b64(data: bytes | str) -> str:
    """Unpadded base64url."""
    return urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def sign(header: object, payload: object, key: AnyKey, algorithm: str = "ES256") -> str:
    """A compact JWS; texts are taken as they are, so they need not be JSON. `algorithm` signs, whatever `alg` says."""
    parts = [b64(part if isinstance(part, str | bytes) else json.dumps(part)) for part in (header, payload)]
    return ".".join([*parts, b64(SIGNERS[algorithm].sign(".".join(parts).encode(), key))])


@dataclass
class Web:
    """URL → body, or an exception to raise, or "hang"."""

    pages: dict[str, bytes | BaseException | str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    gate: asyncio.Event | None = None
    accesses: dict[str, Access] = field(default_factory=dict)

    async def get(self, url: str, access: Access = PUBLIC) -> bytes:
        self.asked[url] += 1
        self.accesses[url] = access
        if self.gate is not None:
            await self.gate.wait()
        page = self.pages.get(url, LookupError(url))
        if isinstance(page, BaseException):
            raise page
        if isinstance(page, str):
            await asyncio.Event().wait()
        assert isinstance(page, bytes)
        return page

    def publish(self, url: str, *keys: AnyKey | Mapping[str, object] | None) -> None:
        """Discovery and key set of the issuer at `url`."""
        entries = [key.as_dict(private=False) if isinstance(key, AnyKey) else key for key in keys]
        self.pages[f"{url}/.well-known/openid-configuration"] = json.dumps(
            {"issuer": url, "jwks_uri": f"{url}/jwks"}
        ).encode()
        self.pages[f"{url}/jwks"] = json.dumps({"keys": entries}).encode()


class World:
    """One issuer at URL with key `k1`, the web, a clock."""

    def __init__(self, *issuers: OidcIssuer, fetch_seconds: float = 5.0, **settings: object) -> None:
        self.now = NOW
        self.web = Web()
        self.key = ec_key()
        self.web.publish(URL, self.key)
        settings = {"name": "ci", "issuer": URL, "audiences": ("ostiary",), **settings}
        self.issuers = issuers or (OidcIssuer(**settings),)  # type: ignore[arg-type]
        self.identity = OidcIdentity(self.issuers, self.web, lambda: self.now, fetch_seconds=fetch_seconds)

    def claims(self, **claims: object) -> dict[str, object]:
        """Good claims, and changes; None takes a claim away."""
        good = {"iss": URL, "sub": "shop", "aud": "ostiary", "iat": self.now, "exp": self.now + 300, "jti": "t-1"}
        return {name: value for name, value in {**good, **claims}.items() if value is not None}

    def token(self, header: dict[str, object] | None = None, key: AnyKey | None = None, /, **claims: object) -> str:
        """A token signed with ES256."""
        return sign({"alg": "ES256", "kid": "k1", **(header or {})}, self.claims(**claims), key or self.key)

    async def identify(self, token: str | bytes, *, encrypted: bool = True, loopback: bool = False) -> Principal:
        """What the gate would do."""
        return await self.identity.identify(Proof(Secret(token), "orders", "10.0.0.9:4000", encrypted, loopback))
