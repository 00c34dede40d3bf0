"""Playbooks: what each side says, and what must come of it, in order and without an event loop.

A playbook that ends with an effect nobody expected fails.
"""

from collections import deque
from types import TracebackType
from typing import Self, TypeVar

from ostiary.core import Permit, Refusal, RefusalKind, Secret, Stage
from ostiary.protocols.postgres import refuse
from ostiary.protocols.postgres.framing import Framer, message
from ostiary.protocols.postgres.relay import Relay
from ostiary.protocols.postgres.rows import encode_row
from ostiary.protocols.postgres.statements import Judge
from ostiary.wire.contract import Ask, Close, Effect, Forward, Observe, Reply
from tests.protocols.postgres.shop import TARGET
from tests.protocols.postgres.shop import judge as shop_judge

DENIED = Refusal(RefusalKind.POLICY, "denied by rule no-deletes: DELETE on public.orders", "ask dba", ("no-deletes",))
CANCEL_KEY = b"\0\0\0\7abcd"

SYNC = message(b"S", b"")
FLUSH = message(b"H", b"")
TERMINATE = message(b"X", b"")
COPY_DONE = message(b"c", b"")
PARSED, BOUND, CLOSED = message(b"1", b""), message(b"2", b""), message(b"3", b"")
NO_DATA, SUSPENDED, EMPTY = message(b"n", b""), message(b"s", b""), message(b"I", b"")


def query(text: str) -> bytes:
    """Query."""
    return message(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "") -> bytes:
    """Parse without parameter types."""
    return message(b"P", f"{name}\0{text}\0".encode() + b"\0\0")


def bind(name: str = "", portal: str = "", values: tuple[bytes | None, ...] = (), formats: bytes = b"\0\0") -> bytes:
    """Bind of text values."""
    cells = encode_row(list(values))[5:]
    return message(b"B", f"{portal}\0{name}\0".encode() + b"\0\0" + cells + formats)


def describe(what: str = "P", name: str = "") -> bytes:
    """Describe of a portal (P) or a statement (S)."""
    return message(b"D", f"{what}{name}\0".encode())


def execute(portal: str = "", limit: int = 0) -> bytes:
    """Execute."""
    return message(b"E", portal.encode() + b"\0" + limit.to_bytes(4, "big"))


def close(what: str, name: str) -> bytes:
    """Close of a portal (P) or a statement (S)."""
    return message(b"C", f"{what}{name}\0".encode())


def copy_data(body: bytes) -> bytes:
    """CopyData."""
    return message(b"d", body)


def ready(status: str = "I") -> bytes:
    """ReadyForQuery."""
    return message(b"Z", status.encode())


def complete(tag: str) -> bytes:
    """CommandComplete."""
    return message(b"C", tag.encode() + b"\0")


def failure(code: str = "42601", text: str = "syntax error") -> bytes:
    """The target's own ErrorResponse."""
    return message(b"E", f"SERROR\0VERROR\0C{code}\0M{text}\0Fscan.l\0\0".encode())


def row_description(*names: str, table: int = 0) -> bytes:
    """RowDescription of text columns; `table` gives them an origin."""
    fields = b"".join(
        name.encode() + b"\0" + table.to_bytes(4, "big") + number.to_bytes(2, "big")
        + (25).to_bytes(4, "big") + b"\xff\xff" + b"\xff\xff\xff\xff" + b"\0\0"
        for number, name in enumerate(names, 1)
    )  # fmt: skip
    return message(b"T", len(names).to_bytes(2, "big") + fields)


def row(*cells: str | None) -> bytes:
    """DataRow."""
    return encode_row([None if cell is None else cell.encode() for cell in cells])


E = TypeVar("E", bound=Effect)


class Playbook:
    """One session's query phase. Args: `release`: results pass the gate; `judge`: instead of the shop's."""

    def __init__(self, *, release: bool = False, judge: Judge | None = None) -> None:
        self._release = release
        self._session = Permit("session", None, release=release, version=1)
        self.relay = Relay(self._session, shop_judge() if judge is None else judge, Secret(CANCEL_KEY))
        self._client, self._target = Framer.of_client(), Framer.of_target()
        self._effects: deque[Effect] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.nothing()

    # ------------------------------------------------------------ what happens

    def take(self, effects: list[Effect]) -> None:
        """Effects of an event that was fed by hand."""
        self._effects += effects

    def client(self, *messages: bytes) -> None:
        """The client sends."""
        self.take(self.relay.from_client(self._client.feed(b"".join(messages))))

    def target(self, *messages: bytes) -> None:
        """The target sends."""
        self.take(self.relay.from_target(self._target.feed(b"".join(messages))))

    def allow(self) -> None:
        """Permit what is asked next."""
        self.permit(self.asks())

    def deny(self) -> None:
        """Refuse what is asked next."""
        self.take(self.relay.ruled(self.asks().action_id, DENIED))

    def permit(self, asked: Ask) -> None:
        """Permit what was asked."""
        permit = Permit("session", asked.action_id, release=self._release, version=1)
        self.take(self.relay.ruled(asked.action_id, permit))

    # ------------------------------------------------------------ what must come of it

    def effect(self, kind: type[E]) -> E:
        """The next effect, of that kind."""
        assert self._effects, f"expected {kind.__name__}, nothing came"
        found = self._effects.popleft()
        assert isinstance(found, kind), f"expected {kind.__name__}, came {found!r}"
        return found

    def asks(self, stage: Stage | None = None) -> Ask:
        """A ruling is asked for."""
        asked = self.effect(Ask)
        assert stage is None or asked.stage is stage
        return asked

    def up(self, *messages: bytes) -> None:
        """Forwarded, one by one."""
        for expected in messages:
            assert self.effect(Forward).data == expected

    def down(self, *messages: bytes) -> None:
        """Told to the client, in as many pieces as it likes."""
        expected = b"".join(messages)
        said = b""
        while len(said) < len(expected):
            said += self.told()
        assert said == expected

    def told(self) -> bytes:
        """What the client is told next, whatever it is."""
        return self.effect(Reply).data

    def told_up(self) -> bytes:
        """What is forwarded next, whatever it is."""
        return self.effect(Forward).data

    def rest(self) -> None:
        """What is left is of no interest."""
        self._effects.clear()

    @property
    def asking(self) -> bool:
        """A ruling is what is expected next."""
        return bool(self._effects) and isinstance(self._effects[0], Ask)

    def refused(self, *more: bytes) -> None:
        """The client reads the refusal's sentence, then `more`."""
        self.down(refuse.error(DENIED), *more)

    def broken(self, why: str) -> None:
        """The last of all: the client reads a sentence about the target that says why, and the session ends."""
        close, reply = self._effects.pop(), self._effects.pop()
        assert isinstance(close, Close)
        assert isinstance(reply, Reply)
        kind, said, _ = Framer.of_target().feed(reply.data)[-1]
        assert kind == ord("E")
        assert b"SFATAL" in said
        assert f"refused what target {TARGET.name} answered: " in said.decode(errors="replace")
        assert why in said.decode(errors="replace")
        assert why in close.reason

    def ended(self, status: str, tag: str) -> None:
        """An action ended."""
        outcome = self.effect(Observe).outcome
        assert (outcome.status, outcome.tag) == (status, tag)

    def nothing(self) -> None:
        """No effect is left over."""
        assert not self._effects, f"nobody expected {list(self._effects)!r}"

    # ------------------------------------------------------------ whole scenes

    def begin(self) -> None:
        """The target is inside a transaction block."""
        self.client(query("BEGIN"))
        self.allow()
        self.up(query("BEGIN"))
        self.target(complete("BEGIN"), ready("T"))
        self.ended("ok", "BEGIN")
        self.down(complete("BEGIN"), ready("T"))
