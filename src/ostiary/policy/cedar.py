"""The `Policy` port on Cedar: a rule set that can be swapped while sessions run, and rulings that are made once.

What a ruling depends on is its memo's key. Principal, target and (where a rule mentions it) the client's address
choose a `_View`, shared by the sessions that have them in common; in it a ruling is found by its `Shape`. What is
remembered is the ruling without an estimate of rows; where that is "to be weighed", the ruling with one is made each
time. A view belongs to one version of the rules. Where a rule looks at
the hour, the minute or the weekday, a view's memo lasts for that minute of the wall clock; where one looks at the
second, nothing is remembered.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ostiary.core import Action, Principal, Ruling, Shape, Target, Verdict
from ostiary.policy.judge import GATEWAY, Finding, Judge, address_of
from ostiary.policy.load import load
from ostiary.policy.rules import DECLASSIFY, UNMASK, ControlAction, RuleSet

#: Views kept (one a principal, target and address), the least recently made go first.
MAX_VIEWS = 512
#: Accesses that the rulings of one view's memo stand for, together; then it starts anew.
MAX_MEMO = 16_384
#: Accesses of one command; more are refused.
MAX_ACCESSES = 1000


@dataclass(frozen=True, slots=True)
class _Version:
    """Rules in force, and what was made of them: a swap leaves nothing of the old behind, whoever is amid a call."""

    number: int
    rules: RuleSet
    views: "OrderedDict[tuple[object, ...], _View]" = field(default_factory=OrderedDict)


class CedarPolicy:
    """Policies of one directory and those that are stored, in force until `reload` finds others that are right.

    Args:
        directory: of *.cedar files.
        clock: Unix seconds.
        stored: further rules: `@id` → text.

    Raises:
        PolicyError: they can't be used.
    """

    def __init__(self, directory: Path, clock: Callable[[], float], stored: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._stored = stored
        self._clock = clock
        self._current = _Version(1, load(directory, stored))

    @property
    def current(self) -> _Version:
        """Changes identity with every reload."""
        return self._current

    @property
    def version(self) -> int:
        """Grows with every `reload` that succeeds. What the clock changes does not count."""
        return self._current.number

    @property
    def rules(self) -> RuleSet:
        """What is in force."""
        return self._current.rules

    @property
    def approval_groups(self) -> frozenset[str]:
        """Every group an `@approval` names; the configuration must know them all."""
        return frozenset(rule.approval for rule in self.rules.rules.values() if rule.approval is not None)

    def reload(self, stored: Mapping[str, str] | None = None, directory: Path | None = None) -> int:
        """Read the directory again; every session follows at their next action. Returns the new version.

        `stored`, `directory`: in place of those before; None: they stay. Raises PolicyError; what is in force then
        stays so.
        """
        stored = self._stored if stored is None else stored
        directory = directory or self._directory
        self._current = _Version(self._current.number + 1, load(directory, stored))
        self._stored, self._directory = stored, directory
        return self.version

    def authorize_connect(self, principal: Principal, target: Target, source: str) -> Ruling:
        """May this principal open a session on this target? A hold is for the caller to refuse."""
        current = self._current
        judge = Judge(current.rules, principal, target, address_of(source))
        return ruling_of([judge.connect(self._clock())], f"connect to {target.name}", current.number)

    def authorize_control(
        self, principal: Principal, action: ControlAction, target: Target | None, source: str
    ) -> Ruling:
        """May this principal do this with what belongs to the target, or with the gateway (None)?

        A hold is for the caller to refuse. Raises ValueError (see Judge), Refused when a policy fails to evaluate.
        """
        current = self._current
        judge = Judge(current.rules, principal, target or GATEWAY, address_of(source))
        finding = judge.control(action, self._clock())
        return ruling_of([finding], f"{action} on {finding.resource}", current.number)

    def judge(self, principal: Principal, target: Target, source: str) -> Judge:
        """For explanations: the rules in force, asked without a memo."""
        return Judge(self.rules, principal, target, address_of(source))

    def rights(self, principal: Principal, target: Target, source: str) -> "CedarRights":
        """A session's view; follows every reload. Raises ValueError (see Judge)."""
        return CedarRights(self, principal, target, address_of(source))

    def view(self, principal: Principal, target: Target, address: str | None) -> "_View":
        """The current view, shared by equal sessions."""
        current = self._current
        address = address if current.rules.mentions_source else None
        labels = tuple(sorted(target.labels.items()))
        who = (principal.kind, principal.issuer, principal.subject, principal.groups)
        key = (*who, target.name, labels, address)
        view = current.views.get(key)
        if view is None:
            view = _View(current, Judge(current.rules, principal, target, address), self._clock)
            if len(current.views) >= MAX_VIEWS:
                current.views.popitem(last=False)
            current.views[key] = view
        return view


class _View:
    """Rulings of one version of the rules for one principal, target and address."""

    __slots__ = ("_classes", "_clock", "_judge", "_memo", "_minute", "_timed", "_weight", "version")

    def __init__(self, version: _Version, judge: Judge, clock: Callable[[], float]) -> None:
        self.version = version
        self._judge = judge
        self._clock = clock
        self._timed = version.rules.clock != "never"
        self._minute = 0.0
        self._memo: dict[Shape, Ruling] = {}
        self._classes: dict[tuple[str, str], bool] = {}
        self._weight = 0

    def decide(self, action: Action) -> Ruling:
        now = self._tick() if self._timed else None
        ruling = self._memo.get(action.shape)
        if ruling is None:
            ruling = self._rule(replace(action, rows_estimate=None), self._clock() if now is None else now)
            self._make_room(len(action.shape.accesses))
            self._memo[action.shape] = ruling
        if ruling.verdict is Verdict.WEIGH and action.rows_estimate is not None:
            return self._rule(action, self._clock() if now is None else now)
        return ruling

    def may(self, action: str, data_class: str) -> bool:
        now = self._tick() if self._timed else None
        held = self._classes.get((action, data_class))
        if held is None:
            finding = self._judge.of_class(action, data_class, self._clock() if now is None else now)
            # There is nobody to ask while rows flow: what is held for approval stays masked.
            held = finding.verdict is Verdict.ALLOW
            self._make_room(1)
            self._classes[action, data_class] = held
        return held

    def _rule(self, action: Action, now: float) -> Ruling:
        number = self.version.number
        if len(action.shape.accesses) > MAX_ACCESSES:
            return Ruling(Verdict.DENY, (), f"the command touches more than {MAX_ACCESSES} things", version=number)
        return ruling_of(self._judge.action(action, now), action.shape.summary, number)

    def _tick(self) -> float:
        """Forget what the clock has made old."""
        now = self._clock()
        minute = now // 60
        if minute != self._minute or self.version.rules.clock == "instant":
            self._forget()
            self._minute = minute
        return now

    def _make_room(self, accesses: int) -> None:
        """Bound the memo by what it keeps alive."""
        self._weight += accesses + 1
        if self._weight > MAX_MEMO:
            self._forget()
            self._weight = accesses + 1

    def _forget(self) -> None:
        self._memo.clear()
        self._classes.clear()
        self._weight = 0


class CedarRights:
    """What one principal may do on one target from one address (the `Rights` port)."""

    __slots__ = ("_address", "_policy", "_principal", "_target", "_view")

    def __init__(self, policy: CedarPolicy, principal: Principal, target: Target, address: str | None) -> None:
        self._policy = policy
        self._principal = principal
        self._target = target
        self._address = address
        self._view = policy.view(principal, target, address)

    def decide(self, action: Action) -> Ruling:
        """Rule on every (operation, object) of the action. Raises Refused when a policy fails to evaluate."""
        view = self._view
        if view.version is not self._policy.current:
            view = self._follow()
        return view.decide(action)

    def may_unmask(self, data_class: str) -> bool:
        """Does the principal hold `unmask` on this class at this target? Raises Refused as `decide` does."""
        return self._following().may(UNMASK, data_class)

    def may_declassify(self, data_class: str) -> bool:
        """May values of this class be put where they have none? Raises Refused as `decide` does."""
        view = self._following()
        return view.may(UNMASK, data_class) or view.may(DECLASSIFY, data_class)

    def _following(self) -> _View:
        return self._view if self._view.version is self._policy.current else self._follow()

    def _follow(self) -> _View:
        self._view = self._policy.view(self._principal, self._target, self._address)
        return self._view


def ruling_of(findings: list[Finding], summary: str, version: int) -> Ruling:
    """One ruling from all findings: a denial comes before the question for an estimate, then a hold, then a permit."""
    for verdict in (Verdict.DENY, Verdict.WEIGH, Verdict.HOLD):
        decided = [finding for finding in findings if finding.verdict is verdict]
        if decided:
            break
    else:
        verdict, decided = Verdict.ALLOW, findings
    rules = {rule.name: rule for finding in decided for rule in finding.deciding}
    if verdict is Verdict.WEIGH:
        why = f"{summary}: it depends on the target's estimate of rows, and there is none"
        return Ruling(verdict, tuple(rules), why, version=version)
    reason = next((rule.reason for rule in rules.values() if rule.reason), "")
    if verdict is Verdict.ALLOW:
        return Ruling(verdict, tuple(rules), "", version=version)
    if not rules:
        return Ruling(verdict, (), decided[0].sentence, version=version)
    groups = dict.fromkeys(rule.approval for rule in rules.values() if rule.approval) if verdict is Verdict.HOLD else ()
    return Ruling(verdict, tuple(rules), reason or summary, tuple(groups), version)
