"""One question to Cedar at a time, and what its answer means here.

Theory of operation:

1. Deny by default, forbid wins; that is Cedar's own. A rule that fails to evaluate would be left out by Cedar,
   also a forbid; here it is a refusal.
2. `unknown`, `unmask`, `declassify` and what the API does are permitted only by a rule whose head names them.
3. A forbid with `@approval` holds what is otherwise permitted; one forbid without it denies.
4. A name that does not have exactly one reading is denied. A name whose outside is unresolved (`?.orders`) is
   permitted as itself, and forbidden wherever a forbid names an outside it may turn out to have.
5. Where a rule that looks at the target's estimate of rows could change the answer, a command without one is neither
   permitted nor held: it is to be weighed. Which rules could is asked of their heads, without their conditions.

Names reach Cedar as data (JSON), never as policy text.
"""

import ipaddress
import json
import time
from dataclasses import dataclass, replace

import cedarpy

from ostiary.core import (
    Access,
    Action,
    Operation,
    Principal,
    PrincipalKind,
    Refusal,
    RefusalKind,
    Shape,
    Target,
    Verdict,
    naming,
)
from ostiary.gate.ports import Refused
from ostiary.policy.rules import BY_NAME, ControlAction, Rule, RuleSet

_TYPES = {PrincipalKind.WORKLOAD: "Workload", PrincipalKind.HUMAN: "Human"}
#: Cedar's numbers end here; a planner's need not.
_LONGEST = 2**63 - 1
#: A command that does nothing else touches no rows: there is nothing to estimate.
_ROWLESS = {Operation.CONNECT, Operation.SESSION, Operation.PUBLISH, Operation.CONSUME}
#: Stands for the gateway itself where a target is asked about: no target has an empty name.
GATEWAY = Target("", "", "", 0, "")
_GATEWAY_UID = {"type": "Gateway", "id": "ostiary"}
_NO_STATEMENT = Shape((), "", {"has_where": True, "dynamic": False, "statements": 0, "functions": ()})


@dataclass(frozen=True, slots=True)
class Finding:
    """What policy says of one action on one resource."""

    action: str
    #: `orders/public.customers`; the target's name; a data class.
    resource: str
    verdict: Verdict
    #: Every rule that fired, whatever came of it.
    permits: tuple[Rule, ...] = ()
    forbids: tuple[Rule, ...] = ()
    #: Why no rule's name explains the verdict; else "".
    sentence: str = ""
    #: Rules whose head fits and that look at the target's estimate of rows.
    estimates: tuple[Rule, ...] = ()

    @property
    def deciding(self) -> tuple[Rule, ...]:
        """The rules that made the verdict; empty when nothing permits."""
        match self.verdict:
            case Verdict.ALLOW:
                return self.permits
            case Verdict.HOLD:
                return self.forbids
            case Verdict.DENY:
                return tuple(rule for rule in self.forbids if rule.approval is None)
            case Verdict.WEIGH:
                return self.estimates


class Judge:
    """Asks one rule set about one principal on one target.

    Args:
        rules: what to ask.
        principal: who. Raises ValueError when its issuer's name would make its id ambiguous.
        target: where, or GATEWAY. Raises ValueError when its name would make names of objects ambiguous.
        address: the client's IP address as `address_of` gives it, or None.
    """

    def __init__(self, rules: RuleSet, principal: Principal, target: Target, address: str | None) -> None:
        if ":" in principal.issuer or not principal.issuer:
            raise ValueError("an issuer's name must not be empty or hold a colon")
        if "/" in target.name or (not target.name and target is not GATEWAY):
            raise ValueError("a target's name must not be empty or hold a slash")
        self._rules = rules
        self._target = target
        self._principal = _uid(_TYPES[principal.kind], principal.id)
        self._fixed: dict[str, object] = {"target": {"__entity": _uid("Target", target.name)}}
        if address is not None:
            self._fixed["source"] = {"__extn": {"fn": "ip", "arg": address}}
        environment = target.labels.get("environment")
        self._entities = cedarpy.Entities.from_json_str(
            json.dumps(
                [
                    {
                        "uid": self._principal,
                        "attrs": {"issuer": principal.issuer, "subject": principal.subject},
                        "parents": [_uid("Group", group) for group in sorted(principal.groups)],
                    },
                    {
                        "uid": _uid("Target", target.name),
                        "attrs": {},
                        "parents": [
                            _GATEWAY_UID,
                            *([] if environment is None else [_uid("Environment", environment)]),
                        ],
                        "tags": dict(target.labels),
                    },
                    {"uid": _GATEWAY_UID, "attrs": {}, "parents": []},
                ]
            )
        )

    def connect(self, now: float) -> Finding:
        """May a session be opened?"""
        return self.access("connect", self._target.name, self.context(_NO_STATEMENT, None, now))

    def context(self, shape: Shape, rows_estimate: int | None, now: float) -> str:
        """A command as Cedar's JSON. What the analysis does not say counts against the command."""
        given = shape.context
        context = self._fixed | {
            "has_where": given.get("has_where", False),
            "dynamic": given.get("dynamic", True),
            "statements": given.get("statements", 1),
            "functions": given.get("functions", ()),
            "time": _time(now),
        }
        if rows_estimate is not None:
            context["rows_estimate"] = min(rows_estimate, _LONGEST)
        return json.dumps(context)

    def action(self, action: Action, now: float) -> list[Finding]:
        """One finding an access. A command that touches nothing (`SELECT 1`) is `session` on the target."""
        accesses = action.shape.accesses or (Access(Operation.SESSION, self._target.name),)
        rowless = all(access.operation in _ROWLESS for access in accesses)
        rows = None if rowless else action.rows_estimate
        context = self.context(action.shape, rows, now)
        findings = [self.access(a.operation.value, a.object, context) for a in accesses]
        return findings if rowless or rows is not None else [_weighed(finding) for finding in findings]

    def access(self, action: str, resource: str, context: str) -> Finding:
        """One operation on one object: `orders/public.customers`, or the target's own name."""
        target = self._target.name
        if resource == target:
            return self._find(action, resource, _uid("Target", target), [], context)
        try:
            if not resource.startswith(f"{target}/"):
                raise ValueError(f"it is not under the target {target}")
            names = naming.lineage(resource[len(target) + 1 :])
        except ValueError as error:
            return Finding(action, resource, Verdict.DENY, sentence=f"{_shown(resource)} can't be judged: {error}")
        finding = self._object(action, resource, names, context)
        if finding.verdict is not Verdict.DENY and names[0] == naming.UNRESOLVED:
            inside = names[-1][len(naming.UNRESOLVED) :]
            for outside in self._rules.by_action[action].outsides.get(target, ()):
                may_be = naming.lineage(outside + inside)
                other = self._object(action, resource, may_be, context)
                forbids = (*finding.forbids, *(rule for rule in other.forbids if rule not in finding.forbids))
                estimates = (*finding.estimates, *(rule for rule in other.estimates if rule.effect == "forbid"))
                finding = _found(action, resource, finding.permits, forbids, estimates)
        return finding

    def of_class(self, action: str, data_class: str, now: float) -> Finding:
        """May values of this class be seen as they are (`unmask`), or be put where they have none (`declassify`)?"""
        try:
            names = naming.lineage(data_class)
        except ValueError as error:
            return Finding(action, data_class, Verdict.DENY, sentence=f"{_shown(data_class)} can't be judged: {error}")
        chain = _chain("DataClass", names, None)
        context = self.context(_NO_STATEMENT, None, now)
        return self._find(action, data_class, _uid("DataClass", data_class), chain, context)

    def control(self, action: ControlAction, now: float) -> Finding:
        """May this be done with the target and what belongs to it, or with the gateway?"""
        name = self._target.name
        uid = _uid("Target", name) if name else _GATEWAY_UID
        return self._find(action.value, name or "the gateway", uid, [], self.context(_NO_STATEMENT, None, now))

    def _object(self, action: str, resource: str, names: tuple[str, ...], context: str) -> Finding:
        target = self._target.name
        names = tuple(f"{target}/{name}" for name in names)
        chain = _chain("Object", names, _uid("Target", target))
        return self._find(action, resource, _uid("Object", names[-1]), chain, context)

    def _find(
        self, action: str, resource: str, uid: dict[str, str], chain: list[dict[str, object]], context: str
    ) -> Finding:
        rules = self._rules.by_action[action]
        entities = self._entities.with_added_json_str(json.dumps(chain)) if chain else self._entities
        request: dict[str, object] = {
            "principal": self._principal,
            "action": _uid("Action", action),
            "resource": uid,
            "context": context,
        }
        estimates = self._ask(request, rules.estimates, entities)[1] if rules.estimates is not None else ()
        allowed, fired = self._ask(request, rules.all, entities)
        if allowed or not fired:
            return _found(action, resource, fired, (), estimates)
        # Cedar names the forbids only; whether they stand in the way of anything is asked without them.
        return _found(action, resource, self._ask(request, rules.permits, entities)[1], fired, estimates)

    def _ask(
        self, request: dict[str, object], policies: cedarpy.PolicySet, entities: cedarpy.Entities
    ) -> tuple[bool, tuple[Rule, ...]]:
        result = cedarpy.is_authorized(request, policies, entities)
        errors = result.diagnostics.errors
        if errors or result.decision is cedarpy.Decision.NoDecision:
            raise Refused(
                Refusal(
                    RefusalKind.INTERNAL,
                    f"refused: a policy could not be evaluated for {_uid_text(request)}",
                    "ask the owner of the policies; `ostiary policy explain` shows the failure",
                )
            ) from ValueError("; ".join(errors))
        fired = (self._rules.rules[name] for name in result.diagnostics.reasons)
        return result.allowed, tuple(sorted(fired, key=lambda rule: (rule.file, rule.line, rule.name)))


def address_of(source: str) -> str | None:
    """The IP address of "ip:port" or "[ip]:port" as Cedar reads it; None for what is none (a Unix socket)."""
    host = source.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _found(
    action: str,
    resource: str,
    permits: tuple[Rule, ...],
    forbids: tuple[Rule, ...],
    estimates: tuple[Rule, ...],
) -> Finding:
    named = action not in BY_NAME or any(rule.actions is not None for rule in permits)
    held = bool(forbids) and all(rule.approval is not None for rule in forbids)
    if forbids and not held:
        return Finding(action, resource, Verdict.DENY, permits, forbids, "", estimates)
    if not permits or not named:
        sentence = f"no policy permits {action} on {_shown(resource)}"
        if permits:
            sentence += f': a permit of "{action}" must name it'
        elif f"/{naming.UNRESOLVED}." in resource:
            sentence += ": its schema is not known; check the name, or write it with its schema"
        return Finding(action, resource, Verdict.DENY, permits, forbids, sentence, estimates)
    return Finding(action, resource, Verdict.HOLD if held else Verdict.ALLOW, permits, forbids, "", estimates)


def _weighed(finding: Finding) -> Finding:
    """To be weighed, unless the verdict is the same whatever the estimate."""
    looking = {rule.name: rule.effect for rule in finding.estimates}
    if finding.verdict is Verdict.DENY:
        permitted = finding.permits or "permit" in looking.values()
        settled = not permitted or any(rule.name not in looking for rule in finding.deciding)
    else:
        settled = "forbid" not in looking.values() and any(rule.name not in looking for rule in finding.permits)
    if settled or not looking:
        return finding
    return replace(finding, verdict=Verdict.WEIGH, sentence="it depends on the target's estimate of rows")


def _chain(kind: str, names: tuple[str, ...], top: dict[str, str] | None) -> list[dict[str, object]]:
    """Entities of a lineage, each in the one before it."""
    chain: list[dict[str, object]] = []
    parent = top
    for name in names:
        uid = _uid(kind, name)
        chain.append({"uid": uid, "attrs": {}, "parents": [] if parent is None else [parent]})
        parent = uid
    return chain


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _uid_text(request: dict[str, object]) -> str:
    action, resource = request["action"], request["resource"]
    assert isinstance(action, dict)
    assert isinstance(resource, dict)
    return f"{action['id']} on {_shown(resource['id'])}"


def _shown(name: str) -> str:
    """A hostile name, fit for a sentence."""
    short = name if len(name) <= 128 else f"{name[:128]}…"
    return short if short.isprintable() else ascii(short)


def _time(now: float) -> dict[str, int]:
    at = time.gmtime(now)
    return {"hour": at.tm_hour, "minute": at.tm_min, "weekday": at.tm_wday + 1, "unix": int(now)}
