"""The contract of a protocol engine: events in, effects out.

An engine is a pure machine: `handle(event) -> list of effects`. It does no I/O, keeps no clock, awaits
nothing, and gets randomness and shared caches handed in. The session driver (`runtime.session`) carries
the effects out and feeds back what happened. Invariants that every engine keeps and every test may assume:

1. No byte goes to the target but in a `Forward`, and a `Forward` needs a `Permit` the gate minted.
2. Whole messages are the unit of forwarding; a partial message stays in the engine's bounded buffer.
3. Every `Ask` is answered by exactly one `Ruled` (perhaps after a `Held`), every `Release` by one `Released`.
   The answer may come while the effect is carried out or much later; the engine sees no difference.
4. A message the engine cannot understand is a `ProtocolError`, never a guess.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from ostiary.core import Action, Lease, Outcome, Permit, Proof, Refusal, Result, Secret, Stage, Target
from ostiary.core.frozen import frozen


class ProtocolError(Exception):
    """A peer broke the protocol. The message is safe to show and says what was wrong."""


class Side(Enum):
    """The two legs of a session."""

    CLIENT = auto()
    TARGET = auto()


# ---------------------------------------------------------------- events


@frozen
class Received:
    """Bytes arrived. Any chunking must lead to the same effects."""

    side: Side
    data: bytes


@frozen
class Admitted:
    """Answer to `Authenticate`: the session may go on to its target."""

    permit: Permit
    target: Target
    lease: Lease


@frozen
class Rejected:
    """Answer to `Authenticate` or `Connect`, or the end of a session by the gate: say it to the client and close."""

    refusal: Refusal


@frozen
class Connected:
    """Answer to `Connect`: the transport to the target is up."""


@frozen
class TlsStarted:
    """Answer to `StartTls`. `channel_binding` is `tls-server-end-point` data (RFC 5929) of that leg's own TLS.

    `certificates`: chain of the client's certificate in DER, leaf first, verified up to a configured root, or empty.
    """

    side: Side
    channel_binding: bytes | None = None
    certificates: tuple[bytes, ...] = ()


@frozen
class Closed:
    """A peer closed or broke its leg."""

    side: Side


@frozen
class Weigh:
    """Policy or a person asks how much the action would touch: answer `Weighed`, with the target's own estimate."""

    action_id: int


@frozen
class Held:
    """The action waits for a person. `notice` is the sentence to show where the protocol can."""

    action_id: int
    notice: str


@frozen
class Ruled:
    """Answer to `Ask`."""

    action_id: int
    answer: Permit | Refusal


@frozen
class Released:
    """Answer to `Release`. `clear`: nothing under this description needs the gate; its rows may be relayed."""

    action_id: int
    answer: Result | Refusal
    clear: bool = False


@frozen
class Interrupted:
    """Another connection proved that it may cancel what runs in this session (see `Interrupt`)."""


@frozen
class AsideDone:
    """A `ForwardAside` was delivered and its connection is closed."""


@frozen
class Reclassified:
    """What must be masked has changed: nothing is `clear` any more, the next rows go through the gate again."""


@frozen
class Woke:
    """A while has passed; an engine with something held may keep its client's connection warm."""


Event = (
    Received
    | Admitted
    | Rejected
    | Connected
    | TlsStarted
    | Closed
    | Weigh
    | Held
    | Ruled
    | Released
    | Interrupted
    | AsideDone
    | Reclassified
    | Woke
)

# ---------------------------------------------------------------- effects


@frozen
class Authenticate:
    """Ask the gate who this is and whether it may reach the target. `database`: what to open there ("" = default)."""

    proof: Proof
    database: str = ""


@frozen
class Connect:
    """Open the transport to the admitted target."""


@frozen
class StartTls:
    """Start TLS on one leg. On the client's leg `early` are bytes of the handshake that were read already."""

    side: Side
    early: bytes = b""


@frozen
class Ask:
    """Have an action judged."""

    action_id: int
    action: Action
    stage: Stage = Stage.RUN


@frozen
class Weighed:
    """Answer to `Weigh`: how many rows the action would touch; None when that can't be told."""

    action_id: int
    rows: int | None


@frozen
class Withdraw:
    """An action that was asked about is not wanted any more (cancelled, gone, failed on the way)."""

    action_id: int
    reason: str


@frozen
class Forward:
    """Send to the target."""

    permit: Permit
    data: bytes


@frozen
class ForwardAside:
    """Send to the target on a connection of its own, closed afterwards (PostgreSQL's CancelRequest).

    Where the target's TLS is on, `starttls` comes first: what asks for it in the clear, and what the target agrees by.
    """

    permit: Permit
    data: bytes
    starttls: tuple[bytes, bytes]


@frozen
class Release:
    """Have a result masked and recorded."""

    action_id: int
    result: Result


@frozen
class Reply:
    """Send to the client."""

    data: bytes


@frozen
class Observe:
    """An action ended."""

    action_id: int
    outcome: Outcome


@frozen
class Register:
    """Whoever presents this key may interrupt this session."""

    key: Secret


@frozen
class Interrupt:
    """This connection presents a key: the session that registered it is to be interrupted, then this is closed.

    `worker`: which one registered it, as far as the key tells (see `Listening`).
    """

    key: Secret
    worker: int


@frozen
class Close:
    """End the session: flush what was replied, close both legs. `reason` goes to the record."""

    reason: str


Effect = (
    Authenticate
    | Connect
    | StartTls
    | Ask
    | Weighed
    | Withdraw
    | Forward
    | ForwardAside
    | Release
    | Reply
    | Observe
    | Register
    | Interrupt
    | Close
)


class Engine(Protocol):
    """One session of one protocol."""

    def handle(self, event: Event) -> list[Effect]:
        """Take one event, give the effects to carry out in order. Raises ProtocolError."""
        ...

    def refuse(self, refusal: Refusal) -> list[Effect]:
        """Say a session-ending refusal in the client's own protocol, whatever the state; ends with `Close`."""
        ...

    @property
    def authenticated(self) -> bool:
        """True once the gate admitted the session: ends the handshake's deadline."""
        ...

    @property
    def ready(self) -> bool:
        """True once the target let the session in: ends the deadline of its login."""
        ...

    def wants(self, side: Side) -> bool:
        """False while the driver should stop reading from that side (bounded queues are full)."""
        ...


@dataclass(frozen=True, slots=True)
class Listening:
    """What the engines of one listener are made with."""

    #: It has a certificate.
    tls_offered: bool
    #: A client on loopback may send its token without TLS.
    plaintext_loopback: bool
    #: Seconds, monotonic.
    clock: Callable[[], float]
    #: That many random bytes.
    entropy: Callable[[int], bytes]
    #: Of the processes that listen on this address, 1 to 64; 0: there is no other.
    worker: int = 0


class Spoken(Protocol):
    """A protocol as the registry knows it: usually the module `spoken` of its folder."""

    def engines(self, listening: Listening) -> Callable[[str, bool], Engine]:
        """What makes a client's engine, of its address ("ip:port") and whether that is loopback."""
        ...

    def judged(self, target: Target, text: str) -> Action:
        """What a command does as far as its text tells, for explanations. Raises ValueError when it can't be parsed."""
        ...

    def starttls(self) -> tuple[bytes, bytes]:
        """What asks a target for TLS in the clear, and what it agrees by."""
        ...

    def turn_away(self, refusal: Refusal) -> bytes:
        """What a client reads that gets no engine; the connection is closed behind it."""
        ...
