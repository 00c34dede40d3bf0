"""One SAML identity provider as it is configured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ostiary.core import PrincipalKind
from ostiary.identity.groups import GroupTemplate
from ostiary.identity.issuer import BoundValue, check_bind, check_seconds, check_tuples, made_for


@dataclass(frozen=True, slots=True)
class SamlIssuer:
    """An identity provider whose assertions are believed, and for what.

    Raises:
        ValueError: A sentence that names the issuer, the setting and what is wrong with it.
    """

    #: Prefix of its principals' ids.
    name: str
    #: Its entity id: `Issuer` of assertions and `entityID` of the metadata, compared as exact strings.
    entity_id: str
    #: File with its metadata: the certificates in it are the only ones that count.
    metadata: Path
    #: Every `AudienceRestriction` must hold one of these.
    audiences: tuple[str, ...]
    #: `Recipient` of the bearer confirmation must be one of these: the address the assertion was sent to.
    recipients: tuple[str, ...]
    kind: PrincipalKind = PrincipalKind.WORKLOAD
    #: Attribute → the value it must have, or the values of which it must have one.
    bind: Mapping[str, BoundValue | tuple[BoundValue, ...]] = field(default_factory=dict)
    #: `{memberOf}`, `mail/{email}`; see `identity.groups`. Attributes stand for claims.
    groups: tuple[str, ...] = ()
    #: An assertion opens one session, instead of any number until it expires.
    one_time: bool = False
    leeway: float = 30.0
    session_grace: float = 60.0
    max_session: float = 12 * 3600.0
    templates: tuple[GroupTemplate, ...] = field(init=False)

    def __post_init__(self) -> None:
        with made_for(self):
            if find_spec("signxml") is None:
                raise ValueError('type: SAML needs the package signxml: pip install "ostiary[saml]"')
            check_tuples(self, "audiences", "recipients", "groups")
            if not self.entity_id.strip():
                raise ValueError("entity_id: write the entity id that stands in the identity provider's metadata")
            if not self.audiences or not all(self.audiences):
                raise ValueError("audiences: name at least one; an assertion made for anybody is made for nobody")
            if not self.recipients or not all(self.recipients):
                raise ValueError("recipients: name at least one; it is where the identity provider sends assertions to")
            check_bind(self.bind)
            check_seconds(self)

    @property
    def accepted(self) -> tuple[str, ...]:
        """What its assertions may name as their issuer."""
        return (self.entity_id,)
