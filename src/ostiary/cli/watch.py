"""`ostiary approvals watch`: requests as they come and go, decided by a key on a terminal, told in lines elsewhere."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ostiary.approvals import Approval, ApprovalError
from ostiary.cli.common import Context, errors, not_done, run
from ostiary.cli.output import Output, OutputOption, err, line, moment, out, say
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import approvals as remote
from ostiary.client.api import ApiFailed
from ostiary.core import printable, printable_lines
from ostiary.gate.ports import Refused

#: Lines of a statement, and of a list, that a screen shows.
_LINES: Final = 12
_KEYS: Final = "↑ ↓ choose   a approve   d deny   q quit"


def build(context: Context) -> Callable[..., None]:
    """The command."""

    @reaching(context)
    def watch(
        reach: Reach,
        every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two looks.")] = 2.0,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Show requests as they come. On a terminal: choose one, and approve or deny it with a key."""
        watching = Watching(reach)
        try:
            if output is Output.TABLE and sys.stdin.isatty() and sys.stdout.isatty():
                Screen(watching, every).run()
            else:
                _tell(watching, every, output)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return watch


class Watching:
    """Requests that wait, and decisions about them."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._known: list[Approval] = []
        #: Why nothing could be learned just now; "" when it could.
        self.silent = ""

    def look(self) -> list[Approval]:
        """Those that wait; the last ones known while a gateway does not answer. Ends the command when it refuses."""
        with errors():
            if self._reach.is_local:
                return run(self._reach.operations.list_approvals())
            try:
                self._known, self.silent = remote.list_approvals(self._reach.api), ""
            except ApiFailed as error:
                if error.status not in (0, 503):
                    not_done(error)
                self.silent = str(error)
            return self._known

    def decide(self, seen: Approval, *, approve: bool, reason: str) -> str:
        """What came of it, as a sentence. Through the API it counts only if the request is as it was seen."""
        code, token = seen.request.code, self._reach.token()
        try:
            if self._reach.is_local:
                after = run(self._reach.operations.decide(code, token, approve=approve, reason=reason))
            else:
                after = remote.decide(self._reach.api, code, approve=approve, reason=reason, seen=seen)
        except (ApiFailed, ApprovalError) as error:
            return f"request {code}: not decided: {error}"
        except Refused as error:
            return f"request {code}: not decided: {error.refusal.message}"
        if after.missing and approve:
            return f"request {code}: counted; it still needs {', '.join(map(str, after.missing))}"
        return f"request {code}: {after.state.value}"


def _tell(watching: Watching, every: float, output: Output) -> None:
    """A line for each that comes, and for each that waits no more."""
    before: dict[str, Approval] = {}
    silent = ""
    while True:
        now = {each.request.code: each for each in watching.look()}
        if watching.silent != silent:
            silent = watching.silent
            say(f"the gateway does not answer: {silent}" if silent else "the gateway answers again", to=err)
        changes = [("waits", now[code]) for code in now if code not in before]
        changes += [("gone", before[code]) for code in before if code not in now]
        for event, each in changes:
            if output is Output.TABLE:
                asked = each.request
                who = f"{asked.principal} on {asked.target}"
                say(f"{moment(time.time())}  {event:5}  {asked.code}  {who}: {asked.summary}")
                sys.stdout.flush()
            else:
                line({"event": event, "approval": each}, output)
        before = now
        time.sleep(every)


@dataclass(slots=True)
class Screen:
    """The list, the one that is chosen, and what was done last.

    Every text of a request is made printable: what is asked for is hostile.
    """

    watching: Watching
    every: float
    chosen: str = ""
    said: str = ""

    def run(self) -> None:
        """Until `q`."""
        known: frozenset[str] = frozenset()
        with _keyboard() as ask, Live(console=out, auto_refresh=False, screen=True) as live:
            while True:
                waiting = self.watching.look()
                codes = [each.request.code for each in waiting]
                if not known.issuperset(codes):
                    out.bell()
                known = frozenset(codes)
                until = time.monotonic() + self.every
                while True:
                    live.update(self.shown(waiting), refresh=True)
                    key = _key(until)
                    if key is None:
                        break
                    if key in ("q", "\x03", "\x04"):
                        return
                    if key in ("a", "d") and (one := self._one(waiting)) is not None:
                        self._decide(live, ask, one, approve=key == "a")
                        break
                    self.move(codes, {"k": -1, "\x1b[A": -1, "j": 1, "\x1b[B": 1}.get(key, 0))

    def move(self, codes: list[str], by: int) -> None:
        """Choose another one."""
        if codes:
            at = codes.index(self.chosen) if self.chosen in codes else 0
            self.chosen = codes[max(0, min(len(codes) - 1, at + by))]

    def shown(self, waiting: list[Approval]) -> RenderableType:
        """What is on the screen."""
        one = self._one(waiting)
        parts: list[RenderableType] = [Text("requests that wait for approval", "bold")]
        parts.append(_list(waiting, one) if waiting else Text("nothing waits", "dim"))
        if one is not None:
            parts += ["", *_detail(one)]
        parts += ["", Text(_KEYS if waiting else "q quit", "dim")]
        if self.watching.silent:
            parts.append(Text(printable(f"the gateway does not answer: {self.watching.silent}"), "yellow"))
        if self.said:
            parts.append(Text(printable(self.said)))
        return Group(*parts)

    def _one(self, waiting: list[Approval]) -> Approval | None:
        return next((each for each in waiting if each.request.code == self.chosen), waiting[0] if waiting else None)

    def _decide(self, live: Live, ask: Callable[[str], str], one: Approval, *, approve: bool) -> None:
        """Asks once more, on the keyboard alone: what is shown stays what was seen."""
        code, what = one.request.code, "approve" if approve else "deny"
        self.chosen = code
        live.stop()
        try:
            for text in _detail(one, len(one.request.text) + len(one.request.parameters)):
                out.print(text)
            reason = ask(f"{what} {code}? a reason, or nothing, then Enter; Ctrl-C to leave it: ").strip()
            self.said = self.watching.decide(one, approve=approve, reason=reason)
        except (KeyboardInterrupt, EOFError):
            self.said = f"request {code}: left as it is"
        finally:
            live.start()


def _list(waiting: list[Approval], one: Approval | None) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "REQUEST", "ASKED BY", "TARGET", "WHAT", "EXPIRES"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if name == "WHAT" else None)
    at = waiting.index(one) if one in waiting else 0
    first = max(0, min(at - _LINES // 2, len(waiting) - _LINES))
    for each in waiting[first : first + _LINES]:
        asked = each.request
        cells = (asked.code, asked.principal, asked.target, asked.summary, f"{_left(asked.expires_at)}")
        style = "reverse" if each is one else ""
        table.add_row("▶" if each is one else "", *(Text(printable(cell)) for cell in cells), style=style)
    if len(waiting) > _LINES:
        table.caption = f"{len(waiting)} in all"
    return table


def _detail(one: Approval, most: int = _LINES) -> Iterator[Text]:
    """In so many lines of the statement, and so many values."""
    asked = one.request
    estimate = "" if asked.rows_estimate is None else f", about {asked.rows_estimate:,} rows"
    yield Text(printable(f"{asked.principal} ({asked.principal_kind}) on {asked.target}{estimate}"))
    yield Text(printable(f"held by {', '.join(asked.rules)}; needs {', '.join(map(str, one.missing))}"))
    lines = printable_lines(asked.text)
    yield from (Text(f"  {text}", "bold") for text in lines[:most])
    if len(lines) > most:
        yield Text(f"  … {len(lines) - most} more lines: `ostiary approvals show {asked.code}`", "yellow")
    for number, value in enumerate(asked.parameters[:most], 1):
        yield Text(printable(f"  ${number} = {'NULL' if value is None else value}"))
    if len(asked.parameters) > most:
        yield Text(f"  … {len(asked.parameters) - most} more values", "yellow")


def _left(until: float) -> str:
    seconds = max(0, int(until - time.time()))
    return f"{seconds // 60}m {seconds % 60:02}s"


def _key(until: float) -> str | None:
    """The next key before that moment (monotonic seconds)."""
    number = sys.stdin.fileno()
    if not select.select([number], [], [], max(0.0, until - time.monotonic()))[0]:
        return None
    # Arrows come as several bytes at once.
    return os.read(number, 3).decode("latin-1") or "\x04"


@contextmanager
def _keyboard() -> Iterator[Callable[[str], str]]:
    """A terminal that gives each key at once, and shows none; and a way to ask for a line on it."""
    number = sys.stdin.fileno()
    lines = termios.tcgetattr(number)

    def ask(question: str) -> str:
        # What was typed before it was asked is no answer.
        termios.tcsetattr(number, termios.TCSAFLUSH, lines)
        try:
            return input(question)
        finally:
            tty.setcbreak(number)

    tty.setcbreak(number)
    try:
        yield ask
    finally:
        termios.tcsetattr(number, termios.TCSAFLUSH, lines)
