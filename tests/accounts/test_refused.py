"""Proofs that are refused are in the audit log: a bounded number of lines, all of them counted, nothing of a proof."""

import pytest

from ostiary.accounts.refused import BURST, SECONDS, TellsRefused
from ostiary.core import Proof, Refusal, RefusalKind, Secret
from ostiary.gate.ports import Refused
from ostiary.recording import SignIn, SignInEvent
from tests.gate.fakes import PRINCIPAL, PROOF, World

NO = Refused(Refusal(RefusalKind.IDENTITY, "token refused: it is not known"))


class Log:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.lines: list[SignIn] = []
        self.broken = False

    def write(self, line: SignIn) -> None:
        """Append, or not."""
        if self.broken:
            raise OSError("no space")
        self.lines.append(line)


class Desk:
    """What a test has at hand."""

    def __init__(self) -> None:
        self.world, self.log = World(), Log()
        self.identity = TellsRefused(self.world, self.log.write, lambda _: "ci", lambda: self.world.time)

    async def refuse(self, times: int = 1, proof: Proof = PROOF, error: BaseException = NO) -> None:
        """So many proofs."""
        self.world.faults.on["identify"] = error
        for _ in range(times):
            with pytest.raises(type(error)) as raised:
                await self.identity.identify(proof)
            assert raised.value is error


async def test_a_refusal_is_a_line() -> None:
    """Where it came from, what it was for, what it said it was of, why; nothing of what was sent."""
    desk = Desk()
    assert await desk.identity.identify(PROOF) is PRINCIPAL
    assert desk.log.lines == []
    await desk.refuse()
    await desk.refuse(proof=Proof(Secret("canary"), "", "10.0.0.1:5", encrypted=True, loopback=False))
    session, api = desk.log.lines
    assert session == SignIn(
        SignInEvent.REFUSED, "", "ci", "session of orders", "127.0.0.1:9", "", "token refused: it is not known"
    )
    assert (api.client, api.source) == ("api", "10.0.0.1:5")
    assert "canary" not in repr(api)


async def test_a_flood_is_a_few_lines_that_count_it() -> None:
    """A burst, then one now and then; the numbers add up."""
    desk = Desk()
    await desk.refuse(10_000)
    assert len(desk.log.lines) == BURST
    desk.world.time += SECONDS
    await desk.refuse(2)
    assert len(desk.log.lines) == BURST + 1
    assert desk.log.lines[-1].reason.endswith(f"({10_000 - BURST} more were refused since the last line)")
    desk.world.time -= 1_000_000
    await desk.refuse(100)
    assert len(desk.log.lines) == BURST + 1


async def test_what_is_no_refusal_of_a_proof_is_not_told() -> None:
    """The gateway is busy, or fails: nobody proved to be nobody."""
    desk = Desk()
    await desk.refuse(error=Refused(Refusal(RefusalKind.CAPACITY, "busy")))
    await desk.refuse(error=RuntimeError())
    assert desk.log.lines == []


async def test_a_log_that_can_t_be_written_changes_no_answer() -> None:
    """It is counted in the next line that can."""
    desk = Desk()
    desk.log.broken = True
    await desk.refuse(3)
    desk.log.broken = False
    await desk.refuse()
    [line] = desk.log.lines
    assert line.reason.endswith("(3 more were refused since the last line)")


async def test_hostile_names_are_bounded() -> None:
    """A megabyte as the target's name."""
    desk = Desk()
    await desk.refuse(proof=Proof(Secret("x"), "t" * 1_000_000, "h:1", encrypted=True, loopback=False))
    assert len(desk.log.lines[0].client) < 100
