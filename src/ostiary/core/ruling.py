"""What was decided, and the proof that it was."""

from dataclasses import dataclass
from enum import StrEnum

from ostiary.core.frozen import frozen


class Verdict(StrEnum):
    """Outcome of policy for one action."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"
    #: It depends on the target's estimate of rows, which the action does not carry.
    WEIGH = "weigh"


@dataclass(frozen=True, slots=True)
class Ruling:
    """Policy's answer for one action by one principal on one target."""

    verdict: Verdict
    #: Names (`@id`) of the rules that decided, in order.
    rules: tuple[str, ...]
    #: A sentence for people, without the rule's name: "DELETE without WHERE on public.orders".
    reason: str
    #: Groups that must approve when verdict is HOLD (one member of each).
    approval_groups: tuple[str, ...] = ()
    #: Version of the policy set that ruled.
    version: int = 0


class RefusalKind(StrEnum):
    """Why a refusal happened, so that a protocol can pick its own error code."""

    IDENTITY = "identity"
    POLICY = "policy"
    APPROVAL = "approval"
    CREDENTIAL = "credential"
    RECORDING = "recording"
    MASKING = "masking"
    PROTOCOL = "protocol"
    TARGET = "target"
    EXPIRED = "expired"
    CAPACITY = "capacity"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing went upstream. `message` names the thing and the reason, `hint` the next step; both are safe to show."""

    kind: RefusalKind
    message: str
    hint: str = ""
    rules: tuple[str, ...] = ()


@frozen
class Permit:
    """Proof that the gate judged. Only `ostiary.gate.gate` constructs one (a test reads every call site)."""

    session_id: str
    #: The action it covers; None for a session permit (handshakes, pings, cancels, the engine's own questions).
    action_id: int | None
    #: True when results must go through the gate (`Release`) before the client sees them.
    release: bool
    #: Gate version it was minted under; a permit of another version must be asked for anew.
    version: int
