"""What is declared and in force: targets, issuers, policies, classifications. Reading only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ostiary.accounts.issued import TOKEN_CLAIM
from ostiary.accounts.model import ISSUER_NAME
from ostiary.control.access import Access, Caller
from ostiary.control.operations import TargetView
from ostiary.control.paging import Page, page_of
from ostiary.core import Action, Operation, Principal, Target
from ostiary.identity import AnyIssuer, AwsIssuer, OidcIssuer, SamlIssuer, X509Issuer
from ostiary.masking import Classification, MaskingConfig, Transform
from ostiary.policy import CedarPolicy, ControlAction, Explanation, Rule, explain, single_access

_VIEW = ControlAction.VIEW
_PROOFS = {OidcIssuer: "oidc", SamlIssuer: "saml", AwsIssuer: "aws", X509Issuer: "x509"}


class NotFound(LookupError):  # noqa: N818 - reads as what happened
    """Nothing has that name; the message says so."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A classification, and what becomes of its values."""

    target: str
    object: str
    data_class: str
    transform: Transform


@dataclass(frozen=True, slots=True)
class Me:
    """A caller about itself.

    Attributes:
        principal: who it is.
        proof: what it showed: "access-token" of this gateway's, "service-account-key", or the type of its issuer.
        may: what policy permits it on the gateway itself.
    """

    principal: Principal
    proof: str
    may: tuple[ControlAction, ...]


class Inventory:
    """The use-cases.

    Args:
        access: who may.
        policy: in force.
        targets: declared, by name.
        credentials: kind of credential by target name.
        issuers: trusted.
        masking: in force.
        judge: SQL text on a target, as the gate would see it without a catalogue of the server.
        clock: Unix seconds.
        problems: why the latest configuration is not in force; none: it is.
    """

    def __init__(
        self,
        access: Access,
        policy: CedarPolicy,
        targets: Mapping[str, Target],
        credentials: Mapping[str, str],
        issuers: tuple[AnyIssuer, ...],
        masking: MaskingConfig,
        judge: Callable[[Target, str], Action],
        clock: Callable[[], float],
        problems: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._access = access
        self._policy = policy
        self._targets = targets
        self._credentials = credentials
        self._issuers = sorted(issuers, key=lambda issuer: issuer.name)
        self._masking = masking
        self._judge = judge
        self._clock = clock
        self._problems = problems

    def adopt(self, credentials: Mapping[str, str], issuers: tuple[AnyIssuer, ...], masking: MaskingConfig) -> None:
        """Other ones are in force, arguments as of the class; `targets` is a mapping that changes by itself."""
        self._credentials = credentials
        self._issuers = sorted(issuers, key=lambda issuer: issuer.name)
        self._masking = masking

    def me(self, caller: Caller) -> Me:
        """The caller itself; needs no permit."""
        who = caller.principal
        if TOKEN_CLAIM in who.claims:
            proof = "access-token"
        elif who.issuer == ISSUER_NAME:
            proof = "service-account-key"
        else:
            proof = next((_PROOFS[type(each)] for each in self._issuers if each.name == who.issuer), "")
        return Me(who, proof, tuple(each for each in ControlAction if self._access.permits(caller, each)))

    def problems(self, caller: Caller) -> Sequence[str]:
        """Why the latest configuration is not in force; empty: it is. Raises Denied."""
        self._access.require(caller, _VIEW)
        return self._problems()

    def list_targets(self, caller: Caller, after: str, limit: int) -> Page[TargetView]:
        """Those the caller may view, by name."""
        seen = [(name, self._view(name)) for name in self._viewed(caller)]
        return page_of(seen, after, limit)

    def show_target(self, caller: Caller, name: str) -> TargetView:
        """One of them. Raises Denied, NotFound."""
        self._access.require(caller, _VIEW, name)
        if name not in self._targets:
            raise NotFound(f'no target "{name}" is declared')
        return self._view(name)

    def list_issuers(self, caller: Caller, after: str, limit: int) -> Page[AnyIssuer]:
        """Every issuer whose tokens are believed, by name. Raises Denied."""
        self._access.require(caller, _VIEW)
        return page_of([(issuer.name, issuer) for issuer in self._issuers], after, limit)

    def show_issuer(self, caller: Caller, name: str) -> AnyIssuer:
        """One of them. Raises Denied, NotFound."""
        self._access.require(caller, _VIEW)
        found = next((issuer for issuer in self._issuers if issuer.name == name), None)
        if found is None:
            raise NotFound(f'no issuer "{name}" is declared')
        return found

    def list_policies(self, caller: Caller, after: str, limit: int) -> tuple[int, Page[Rule]]:
        """Version of the rules in force, and those rules by name. Raises Denied."""
        self._access.require(caller, _VIEW)
        current = self._policy.current
        return current.number, page_of(sorted(current.rules.rules.items()), after, limit)

    def show_policy(self, caller: Caller, name: str) -> Rule:
        """One rule by its `@id`. Raises Denied, NotFound."""
        self._access.require(caller, _VIEW)
        found = self._policy.rules.rules.get(name)
        if found is None:
            raise NotFound(f'no rule "{name}" is in force')
        return found

    def list_classifications(self, caller: Caller, after: str, limit: int) -> Page[Classified]:
        """Those of targets the caller may view, by target and object."""
        viewed = self._viewed(caller)
        entries = sorted(
            (
                (f"{each.target}/{each.object}\n{index:06d}", each)
                for index, each in enumerate(self._masking.classification)
                if each.target in viewed
            ),
            key=lambda pair: pair[0],
        )
        return page_of([(key, self._classified(each)) for key, each in entries], after, limit)

    def explain_sql(self, caller: Caller, who: Principal, target: str, text: str, rows: int | None) -> Explanation:
        """How the rules in force decide on a statement. Raises Denied, NotFound, ValueError when it can't be parsed."""
        found = self._asked(caller, target)
        return self._explained(who, found, replace(self._judge(found, text), rows_estimate=rows))

    def explain_access(
        self, caller: Caller, who: Principal, target: str, operation: Operation, name: str, rows: int | None
    ) -> Explanation:
        """How the rules in force decide on one operation on one object. Raises Denied, NotFound."""
        found = self._asked(caller, target)
        return self._explained(who, found, single_access(found, operation, name, rows))

    def _asked(self, caller: Caller, target: str) -> Target:
        self._access.require(caller, _VIEW)
        found = self._targets.get(target)
        if found is None:
            raise NotFound(f'no target "{target}" is declared')
        return found

    def _explained(self, who: Principal, target: Target, action: Action) -> Explanation:
        return explain(self._policy, who, target, action, self._clock())

    def _viewed(self, caller: Caller) -> list[str]:
        return [name for name in sorted(self._targets) if self._access.permits(caller, _VIEW, name)]

    def _view(self, name: str) -> TargetView:
        return TargetView.of(self._targets[name], self._credentials.get(name, ""))

    def _classified(self, each: Classification) -> Classified:
        rule = self._masking.rules.get(each.data_class)
        return Classified(
            each.target, each.object, each.data_class, rule.transform if rule is not None else Transform.REDACT
        )
