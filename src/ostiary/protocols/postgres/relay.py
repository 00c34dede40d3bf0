"""The query phase: from the first ReadyForQuery to the end of the connection.

`requests` takes the client's messages in order, `replies` settles the target's; both work on one `Exchange`. A client
message that needs a ruling stops the line until it is answered; what follows waits (bounded, the driver stops reading).
"""

from ostiary.core import Permit, Refusal, Result, Secret
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import Frame
from ostiary.protocols.postgres.replies import Replies
from ostiary.protocols.postgres.requests import Requests
from ostiary.protocols.postgres.state import Exchange
from ostiary.protocols.postgres.statements import Judge
from ostiary.protocols.postgres.weigh import Weighing
from ostiary.wire.contract import Effect, Reply, Side


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

    def _go_on(self) -> list[Effect]:
        self._replies.drain()
        self._requests.advance()
        return self._flush()

    def _flush(self) -> list[Effect]:
        x = self._x
        if x.out:
            x.effects.append(Reply(b"".join(x.out)))
            x.out.clear()
        effects, x.effects = x.effects, []
        return effects
