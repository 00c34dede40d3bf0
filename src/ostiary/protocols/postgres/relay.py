"""The query phase: from the first ReadyForQuery to the end of the connection.

`requests` takes the client's messages in order, `replies` settles the target's; both work on one `Exchange`. A client
message that needs a ruling stops the line until it is answered; what follows waits (bounded, the driver stops reading).
"""

from ostiary.core import Permit, Refusal, RefusalKind, Result, Secret
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import Frame
from ostiary.protocols.postgres.replies import Replies
from ostiary.protocols.postgres.requests import Requests
from ostiary.protocols.postgres.state import Exchange
from ostiary.protocols.postgres.statements import Judge
from ostiary.protocols.postgres.weigh import Weighing
from ostiary.wire.contract import Ask, Close, Effect, ProtocolError, Release, Reply, Side


class Relay:
    """One admitted session's query phase. Arguments as `Exchange`."""

    def __init__(self, permit: Permit, judge: Judge, cancel_key: Secret | None) -> None:
        self._x = Exchange(permit, judge, cancel_key)
        self._requests = Requests(self._x)
        self._replies = Replies(self._x)
        self._weighing = Weighing(self._x)

    def wants(self, side: Side) -> bool:
        """False while the queues of that side are full."""
        return self._requests.wanted if side is Side.CLIENT else self._replies.wanted

    def from_client(self, frames: list[Frame]) -> list[Effect]:
        """Whole messages from the client."""
        self._requests.receive(frames)
        return self._go_on()

    def from_target(self, frames: list[Frame]) -> list[Effect]:
        """Whole messages from the target."""
        self._replies.receive(frames)
        return self._go_on()

    def ruled(self, action_id: int, answer: Permit | Refusal) -> list[Effect]:
        """The answer to an `Ask`."""
        self._requests.ruled(action_id, answer)
        return self._go_on()

    def released(self, answer: Result | Refusal, *, clear: bool) -> list[Effect]:
        """The answer to a `Release`."""
        self._replies.released(answer, clear=clear)
        return self._go_on()

    def reclassified(self) -> list[Effect]:
        """What must be masked has changed."""
        self._replies.reclassified()
        return []

    def weigh(self, action_id: int) -> list[Effect]:
        """The action is to be held: ask the planner how much it would touch."""
        self._weighing.begin(action_id)
        return self._flush()

    def held(self, notice: str) -> list[Effect]:
        """Tell the client that it waits for a person."""
        return [Reply(refuse.notice(notice))] if self._x.asking is not None else []

    def interrupted(self) -> list[Effect]:
        """A valid CancelRequest came for this session."""
        self._requests.interrupted()
        return self._go_on()

    def aside_done(self) -> list[Effect]:
        """The cancel request reached the target."""
        self._requests.aside_done()
        return self._go_on()

    def broken(self, error: ProtocolError) -> list[Effect]:
        """What the target sent is not understood: what was settled before it is told, then the reason; that is all."""
        x = self._x
        hint = "connect again; if it happens again, look at what answers at the target's address"
        what = f"refused what target {x.judge.target} answered: {error}"
        x.end(Refusal(RefusalKind.PROTOCOL, what, hint))
        return self._flush()

    def _go_on(self) -> list[Effect]:
        if self._x.ended is None:
            try:
                self._replies.drain()
            except ProtocolError as error:
                return self.broken(error)
        if self._x.ended is None:
            self._requests.advance()
        return self._flush()

    def _flush(self) -> list[Effect]:
        """The effects in order: what is told comes before whatever may end the session."""
        x = self._x
        effects, x.effects = x.effects, []
        if x.out:
            at = 0
            while at < len(effects) and not isinstance(effects[at], Ask | Release):
                at += 1
            effects.insert(at, Reply(b"".join(x.out)))
            x.out.clear()
        if x.ended is not None:
            effects.append(Close(x.ended))
        return effects
