"""One OIDC issuer as it is configured. Everything that can be wrong with it is said when it is made."""

import ipaddress
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from ostiary.core import PrincipalKind
from ostiary.identity.fetch import PUBLIC, Access, FetchError
from ostiary.identity.groups import GroupTemplate
from ostiary.identity.key_set import ALGORITHMS, parse_key_set
from ostiary.identity.spiffe import SCHEME, check_trust_domain

#: Signatures with a public key, all of them sound. There is no way to allow `none` or a shared secret (HS256 …).
DEFAULT_ALGORITHMS: Final = tuple(ALGORITHMS)

BoundValue = str | int | bool
Bound = Mapping[str, BoundValue | tuple[BoundValue, ...]]
#: Verified claims; raises Refused.
Rule = Callable[[Mapping[str, object]], None]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Issuer(Protocol):
    """What issuers of every kind have. `templates` is made of `groups`."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> PrincipalKind: ...  # noqa: D102
    @property
    def max_session(self) -> float: ...  # noqa: D102
    @property
    def groups(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def templates(self) -> tuple[GroupTemplate, ...]: ...  # noqa: D102


@contextmanager
def made_for(issuer: Issuer) -> Iterator[None]:
    """Checks an issuer's name, has it checked, parses its group templates; a ValueError begins with the name."""
    if not _NAME.fullmatch(issuer.name):
        raise ValueError(f'issuer name "{issuer.name}": use letters, digits, ".", "_" and "-", 63 at most')
    try:
        yield
        templates = tuple(GroupTemplate.parse(text) for text in issuer.groups)
        object.__setattr__(issuer, "templates", templates)
        prefixes = [template.prefix for template in templates]
        if len(set(prefixes)) != len(prefixes):
            raise ValueError("groups: two templates begin with the same text, so one could imitate the other")
    except ValueError as error:
        raise ValueError(f'issuer "{issuer.name}": {error}') from None


def check_tuples(issuer: Issuer, *settings: str) -> None:
    """Raises ValueError for a lone string, which would be taken for its letters."""
    for setting in settings:
        if type(getattr(issuer, setting)) is not tuple:
            raise ValueError(f"{setting}: must be a tuple of texts")


def check_bind(bind: Mapping[str, BoundValue | tuple[BoundValue, ...]]) -> None:
    """Raises ValueError."""
    for claim, bound in bind.items():
        values = bound if isinstance(bound, tuple) else (bound,)
        if not values or any(type(value) not in (str, int, bool) for value in values):
            raise ValueError(f"bind: {claim}: must be text, a whole number, true or false, or several of these")


def check_seconds(issuer: Issuer) -> None:
    """Raises ValueError unless the durations that it has are within their bounds."""
    for setting, low, high in (("leeway", 0, 300), ("session_grace", 0, 86400), ("max_session", 1, 7 * 86400)):
        value = getattr(issuer, setting, low)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{setting}: must be from {low} to {high} seconds")


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """An issuer whose JWTs are believed, and for what: an OIDC issuer, or a SPIFFE trust domain.

    Raises:
        ValueError: A sentence that names the issuer, the setting and what is wrong with it.
    """

    #: Prefix of its principals' ids, "github"; letters, digits, ".", "_" and "-".
    name: str
    #: The `iss` claim, compared as an exact string: https, or http on a loopback address; or `spiffe://TRUST-DOMAIN`.
    issuer: str
    #: A token must be made for one of these (`aud`).
    audiences: tuple[str, ...]
    kind: PrincipalKind = PrincipalKind.WORKLOAD
    #: Where its keys are, when discovery is not to be asked.
    jwks_uri: str | None = None
    #: Its keys themselves (RFC 7517), when nobody is to be asked.
    jwks: str | None = None
    #: A file of its keys, read as often as they would be fetched.
    jwks_file: Path | None = None
    access: Access = PUBLIC
    #: Other values of `iss` that mean this issuer; the first one's keys count.
    aliases: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    #: When given, `azp` must be there and be one of these.
    authorized_parties: tuple[str, ...] = ()
    #: Claim → the value it must have, or the values of which it must have one. Type and value are compared exactly.
    bind: Bound = field(default_factory=dict)
    #: What claims must be like besides.
    rule: Rule | None = None
    #: `repo/{repository}`, `{groups}`; see `groups`.
    groups: tuple[str, ...] = ()
    #: Seconds that the issuer's clock and ours may be apart.
    leeway: float = 30.0
    #: Seconds that a session may go on after its token has expired.
    session_grace: float = 60.0
    #: Seconds that a session may last, whatever its token says.
    max_session: float = 12 * 3600.0
    templates: tuple[GroupTemplate, ...] = field(init=False)

    def __post_init__(self) -> None:
        with made_for(self):
            self._check()

    def _check(self) -> None:
        for url in self.accepted:
            if self.trust_domain is None:
                check_url(url, "issuer", loopback=True)
        if self.trust_domain is not None:
            check_trust_domain(self.trust_domain)
            if not (self.jwks_uri or self.jwks or self.jwks_file):
                raise ValueError("bundle: a trust domain has no discovery: name its bundle's URL or file")
        self._check_keys()
        if self.jwks_uri is not None:
            check_url(self.jwks_uri, "jwks_uri", loopback=self.on_loopback)
        check_tuples(self, "audiences", "algorithms", "authorized_parties", "groups", "aliases")
        if not self.audiences or not all(self.audiences):
            raise ValueError("audiences: name at least one; a token made for anybody is a token made for nobody")
        if not self.algorithms or not set(self.algorithms) <= set(DEFAULT_ALGORITHMS):
            raise ValueError(f"algorithms: choose from {', '.join(DEFAULT_ALGORITHMS)}")
        check_bind(self.bind)
        check_seconds(self)

    def _check_keys(self) -> None:
        if sum(place is not None for place in (self.jwks_uri, self.jwks, self.jwks_file)) > 1:
            raise ValueError("jwks: its keys are in one place: jwks, jwks_file or jwks_uri")
        if self.access.token_file is not None and self.jwks_uri is None:
            raise ValueError("token_file: name with jwks_uri who is to see that token; discovery could name anybody")
        if self.jwks is not None:
            try:
                usable = parse_key_set(self.jwks.encode(), self.key_use)
            except (FetchError, ValueError) as error:
                raise ValueError(f"jwks: {error}") from None
            if not usable:
                raise ValueError("jwks: no key in it can be used")

    @property
    def accepted(self) -> tuple[str, ...]:
        """All values of `iss`."""
        return (self.issuer, *self.aliases)

    @property
    def trust_domain(self) -> str | None:
        """`acme.example` of `spiffe://acme.example`."""
        return self.issuer.removeprefix(SCHEME) if self.issuer.startswith(SCHEME) else None

    @property
    def key_use(self) -> str:
        """`use` of its keys: the SPIFFE bundle format (SPIFFE Trust Domain and Bundle §4.2.2) has its own."""
        return "sig" if self.trust_domain is None else "jwt-svid"

    @property
    def on_loopback(self) -> bool:
        """Is it an issuer on this machine, spoken to without TLS?"""
        return self.issuer.startswith("http:")

    @property
    def discovery_url(self) -> str:
        """OpenID Connect Discovery 1.0 §4: a terminating "/" is removed, then the path appended."""
        return self.issuer.removesuffix("/") + "/.well-known/openid-configuration"


def check_url(url: str, setting: str, *, loopback: bool) -> None:
    """Raises ValueError unless it is a plain https URL; with `loopback`, http is fine on a loopback address."""
    parts = urlsplit(url)
    try:
        local = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        local = False
    if parts.scheme != "https" and not (loopback and local and parts.scheme == "http"):
        raise ValueError(f"{setting}: must be an https URL (http is for loopback addresses only)")
    if not parts.hostname or parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{setting}: must be a URL with a host, and without user name, spaces or control characters")
    if setting == "issuer" and ("?" in url or "#" in url):
        raise ValueError("issuer: must have neither query nor fragment")
