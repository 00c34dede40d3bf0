"""Proofs that are refused, in the audit log: the one record of who came and proved to be nobody.

Whoever can reach the gateway can have proofs refused, so lines are few: a burst, then one now and then, which says how
many there were in between. That they can't be written changes no answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog

from ostiary.core import Principal, Proof, RefusalKind
from ostiary.gate.ports import Identity, Refused
from ostiary.recording import SignIn, SignInEvent

log = structlog.get_logger()

#: Lines at once, and seconds until another one may follow.
BURST: Final = 20
SECONDS: Final = 5.0
_TEXT: Final = 256
Line = TypeVar("Line")


@dataclass(slots=True)
class FewLines(Generic[Line]):
    """Writes a burst of lines, then one now and then, which says how many there were in between.

    Args:
        write: `AuditLog.write`.
        clock: Unix seconds.
    """

    write: Callable[[Line], None]
    clock: Callable[[], float]
    _room: float = field(default=BURST, init=False)
    _at: float = field(default=0.0, init=False)
    _missed: int = field(default=0, init=False)

    def tell(self, made: Callable[[str], Line]) -> None:
        """`made`: the line, with this at the end of its reason."""
        now = self.clock()
        # A clock that was set back gives nothing.
        self._room = min(BURST, self._room + max(0.0, now - self._at) / SECONDS)
        self._at = now
        if self._room < 1:
            self._missed += 1
            return
        self._room -= 1
        try:
            self.write(made(f" ({self._missed} more were refused since the last line)" if self._missed else ""))
        except OSError as error:
            self._missed += 1
            log.warning("the audit log could not be written: a refused proof is not in it", error=str(error))
        else:
            self._missed = 0


@dataclass(slots=True)
class TellsRefused:
    """Implements `Identity`.

    Args:
        behind: verifies.
        write: `AuditLog.write`.
        named: the configured issuer that a proof says it is of, or "".
        clock: Unix seconds.
    """

    behind: Identity
    write: Callable[[SignIn], None]
    named: Callable[[Proof], str]
    clock: Callable[[], float]
    _lines: FewLines[SignIn] = field(init=False)

    def __post_init__(self) -> None:
        self._lines = FewLines(self.write, self.clock)

    async def identify(self, proof: Proof) -> Principal:
        """As the port says."""
        try:
            return await self.behind.identify(proof)
        except Refused as refused:
            if refused.refusal.kind is RefusalKind.IDENTITY:
                self._tell(proof, refused.refusal.message)
            raise

    def _tell(self, proof: Proof, why: str) -> None:
        client = f"session of {proof.target[:64]}" if proof.target else "api"
        named = self.named
        self._lines.tell(
            lambda more: SignIn(SignInEvent.REFUSED, "", named(proof), client, proof.source, "", f"{why[:_TEXT]}{more}")
        )
