"""Who is calling: the outcome of verifying a proof, and the proof itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ostiary.core.secret import Secret


class PrincipalKind(StrEnum):
    """What kind of caller this is; the Cedar entity type follows from it."""

    WORKLOAD = "workload"
    HUMAN = "human"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client presented, before anything about it is believed."""

    token: Secret
    #: Name of the target the client asks for, as it wrote it.
    target: str
    #: Address of the client, "ip:port".
    source: str
    #: True when the token came over TLS.
    encrypted: bool
    #: True when the client's address is a loopback address.
    loopback: bool
    #: Chain of the client's certificate in DER, leaf first, as the TLS library verified it up to a configured root.
    #: Without a token it is the proof; with one, what a token that is bound to a certificate (RFC 8705) is good with.
    certificates: tuple[bytes, ...] = ()
    #: W3C traceparent of the client, "" where it sent none.
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller."""

    kind: PrincipalKind
    #: Name of the issuer in the configuration (not its URL).
    issuer: str
    #: The `sub` claim.
    subject: str
    groups: frozenset[str]
    #: Unix seconds at which the proof itself expires.
    expires_at: float
    #: Unix seconds at which a session opened with this proof must end (expiry plus configured grace).
    session_until: float
    #: A non-secret name for the proof in records (`jti`, or a digest).
    proof_id: str
    #: Printable claims worth recording; never the token.
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name across the product: `issuer:subject`."""
        return f"{self.issuer}:{self.subject}"
