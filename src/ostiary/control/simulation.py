"""What other policies would have made of what was recorded: each session and command ruled on again, twice.

A recorded command is asked about with the accesses that were recorded, whose names the target's catalogue resolved, and
with what an analysis of its text says beside them. Both sets of rules get the same question, so a difference is theirs;
where the rules in force do not answer as they did then (they changed since, or looked at an estimate of rows or at
something that is not recorded), the command is counted apart.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from ostiary.control.access import Access as ControlAccess
from ostiary.control.access import Caller
from ostiary.control.paging import Reader
from ostiary.control.verification import Busy
from ostiary.core import (
    Access,
    Action,
    ActionRefused,
    IntentRecorded,
    Operation,
    Principal,
    PrincipalKind,
    Ruling,
    SessionStarted,
    Shape,
    Target,
    Verdict,
)
from ostiary.gate.ports import Refused
from ostiary.policy import ControlAction, Judge, RuleSet, address_of, ruling_of
from ostiary.policy.load import load_texts
from ostiary.recording import DamagedRecording, Entry, read, recordings, summarize

#: Commands, and recordings, that one part rules on; the last recording may go over.
MAX_COMMANDS: Final = 2_000
MAX_OPENED: Final = 200
#: Kinds of difference that are told.
MAX_CHANGES: Final = 500
#: Rulings that are remembered while a part is made.
_REMEMBERED: Final = 10_000
#: Longest statement that is analysed: a longer one is not recorded whole.
_LONGEST: Final = 60_000
#: Of a statement, and principals of a change, that are told.
_SHOWN: Final = 500
_PRINCIPALS: Final = 10


@dataclass(frozen=True, slots=True)
class Change:
    """Commands of one shape that would be ruled otherwise."""

    target: str
    #: What they do, without their constants: "DELETE without WHERE on public.orders", "connect".
    summary: str
    before: Verdict
    after: Verdict
    #: Rules that decide, then and now; none: nothing permits it.
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    #: How many, whose, and one of them.
    count: int
    principals: tuple[str, ...]
    session_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """A part of a simulation."""

    sessions: int
    commands: int
    #: Commands that can't be asked about: cut, or unreadable.
    skipped: int
    #: Commands that the rules in force would rule on otherwise than was recorded.
    drifted: int
    changes: tuple[Change, ...]
    #: Where to go on; None: that was all.
    next: str | None


@dataclass(frozen=True, slots=True)
class SimulationFilter:
    """Which sessions."""

    target: str = ""
    #: Unix seconds: begun at or after.
    since: float | None = None


def simulate(
    directory: Path,
    wanted: SimulationFilter,
    current: RuleSet,
    proposed: RuleSet,
    targets: Mapping[str, Target],
    judge: Callable[[Target, str], Action],
    after: str = "",
) -> Simulation:
    """Rule again on a part of what was recorded, newest session first.

    Args:
        directory: of recordings.
        wanted: which sessions.
        current: rules in force.
        proposed: rules to compare with.
        targets: by name; sessions on others are left out.
        judge: what a statement does as far as its text tells; raises ValueError.
        after: `next` of the part before.

    Raises:
        OSError: they can't be read.
    """
    again = _Again(current, proposed, judge)
    opened, last = 0, after
    for path in recordings(directory):
        place = path.relative_to(directory).as_posix()
        if after and place >= after:
            continue
        summary = summarize(path)
        if wanted.since is not None and (summary.started or 0.0) < wanted.since:
            break
        if opened == MAX_OPENED or again.commands >= MAX_COMMANDS:
            return again.told(last)
        opened, last = opened + 1, place
        target = targets.get(summary.target)
        if target is not None and (not wanted.target or target.name == wanted.target):
            again.session(path, target)
    return again.told(None)


class Simulator:
    """The use-case of a running gateway.

    Args:
        access: who may.
        directory: of recordings.
        current: the rules in force.
        targets: declared, by name.
        judge: what a statement does as far as its text tells; raises ValueError.
        reader: reads the recordings.
    """

    def __init__(
        self,
        access: ControlAccess,
        directory: Path,
        current: Callable[[], RuleSet],
        targets: Mapping[str, Target],
        judge: Callable[[Target, str], Action],
        reader: Reader,
    ) -> None:
        self._access = access
        self._directory = directory
        self._current = current
        self._targets = targets
        self._judge = judge
        self._reader = reader
        self._running = threading.Lock()

    async def simulate(
        self, caller: Caller, policies: Mapping[str, str], wanted: SimulationFilter, after: str
    ) -> Simulation:
        """A part, of sessions on targets that the caller may audit. `policies`: text by name of file.

        Raises Denied, PolicyError, Busy, OSError.
        """
        self._access.require(caller, ControlAction.ADMINISTER)
        allowed = {name for name in self._targets if self._access.permits(caller, ControlAction.AUDIT, name)}
        targets = {name: target for name, target in self._targets.items() if name in allowed}
        return await self._reader.read(partial(self._simulated, policies, wanted, self._current(), targets, after))

    def _simulated(
        self,
        policies: Mapping[str, str],
        wanted: SimulationFilter,
        current: RuleSet,
        targets: Mapping[str, Target],
        after: str,
    ) -> Simulation:
        if not self._running.acquire(blocking=False):
            raise Busy("a simulation runs already: try again when it is done")
        try:
            return simulate(self._directory, wanted, current, load_texts(policies), targets, self._judge, after)
        finally:
            self._running.release()


class _Again:
    """Asks both sets of rules, and gathers where they differ."""

    def __init__(self, current: RuleSet, proposed: RuleSet, judge: Callable[[Target, str], Action]) -> None:
        self._rules = (current, proposed)
        self._judge = judge
        self._sessions = self.commands = self._skipped = self._drifted = 0
        self._changes: dict[tuple[object, ...], Change] = {}
        self._remembered: OrderedDict[tuple[object, ...], tuple[Ruling, Ruling]] = OrderedDict()

    def told(self, following: str | None) -> Simulation:
        """What was found."""
        most = sorted(self._changes.values(), key=lambda change: -change.count)[:MAX_CHANGES]
        return Simulation(self._sessions, self.commands, self._skipped, self._drifted, tuple(most), following)

    def session(self, path: Path, target: Target) -> None:
        """One recording, up to where it can be read."""
        try:
            entries = read(path)
            started = next((entry for entry in entries if isinstance(entry.body, SessionStarted)), None)
            if started is None or not isinstance(started.body, SessionStarted):
                return
            self._sessions += 1
            self._all(started.body, started.time, target, entries)
        except DamagedRecording:
            self._skipped += 1

    def _all(self, started: SessionStarted, at: float, target: Target, entries: Iterator[Entry]) -> None:
        try:
            kind = PrincipalKind(started.principal_kind)
            who = Principal(
                kind, started.issuer, started.subject, frozenset(started.groups), 0.0, 0.0, started.proof_id
            )
            address = address_of(started.source)
            judges = tuple(Judge(rules, who, target, address) for rules in self._rules)
            before, after = (ruling_of([judge.connect(at)], "connect", 0) for judge in judges)
        except (Refused, ValueError):
            self._skipped += 1
            return
        self._compare(started, target, "connect", "", before, after)
        key = (who.id, who.groups, target.name, address)
        for entry in entries:
            body = entry.body
            if not isinstance(body, IntentRecorded | ActionRefused):
                continue
            recorded = _recorded(body)
            if recorded is None:
                continue
            self.commands += 1
            action = None if entry.cuts else self._action(target, body)
            rulings = None if action is None else self._ruled(key, judges, action, entry.time)
            if action is None or rulings is None:
                self._skipped += 1
                continue
            before, after = rulings
            self._drifted += before.verdict is not recorded
            self._compare(started, target, action.shape.summary, body.text, before, after)

    def _action(self, target: Target, body: IntentRecorded | ActionRefused) -> Action | None:
        if len(body.text) > _LONGEST:
            return None
        try:
            analysed = self._judge(target, body.text).shape
        except ValueError:
            analysed = Shape((), body.summary)
        try:
            accesses = tuple(
                Access(Operation(kind), name) for kind, _, name in (a.partition(" ") for a in body.accesses)
            )
        except ValueError:
            return None
        return Action(replace(analysed, accesses=accesses, summary=body.summary), body.text)

    def _ruled(
        self, key: tuple[object, ...], judges: tuple[Judge, ...], action: Action, at: float
    ) -> tuple[Ruling, Ruling] | None:
        shape = action.shape
        timed = any(rules.clock != "never" for rules in self._rules)
        whole = (*key, shape.accesses, shape.summary, tuple(sorted(shape.context.items())), at if timed else 0.0)
        found = self._remembered.get(whole)
        if found is None:
            try:
                before, after = (ruling_of(judge.action(action, at), shape.summary, 0) for judge in judges)
            except (Refused, ValueError):
                return None
            found = self._remembered[whole] = before, after
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _compare(
        self, started: SessionStarted, target: Target, summary: str, text: str, before: Ruling, after: Ruling
    ) -> None:
        if before.verdict is after.verdict:
            return
        key = (target.name, summary, before.verdict, after.verdict, before.rules, after.rules)
        known = self._changes.get(key)
        if known is None:
            if len(self._changes) < 2 * MAX_CHANGES:
                self._changes[key] = Change(*key, 1, (started.principal,), started.session_id, text[:_SHOWN])
            return
        whose = known.principals
        if started.principal not in whose and len(whose) < _PRINCIPALS:
            whose = (*whose, started.principal)
        self._changes[key] = replace(known, count=known.count + 1, principals=whose)


def _recorded(body: IntentRecorded | ActionRefused) -> Verdict | None:
    """What policy said of it then; None: something else refused it."""
    match body:
        case IntentRecorded():
            return Verdict.HOLD if body.approval_id else Verdict.ALLOW
        case ActionRefused(kind="policy"):
            return Verdict.DENY
        case ActionRefused(kind="approval"):
            return Verdict.HOLD
        case _:
            return None
