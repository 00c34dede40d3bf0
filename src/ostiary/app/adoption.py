"""Other settings for a gateway that runs: what is declared is replaced, all of it or nothing, in one step.

Everything that can fail is made first. Then it is put into force without a pause, and every open session is looked at:
one that stands on what is there no more ends with a sentence, the others are judged and masked anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from ostiary.app.current import Current, CurrentIdentity, Targets
from ostiary.app.issuing import Credential, issuers_of, reached
from ostiary.app.listening import protocol_tls
from ostiary.app.part import Part
from ostiary.approvals import ApprovalGroup
from ostiary.config import Settings
from ostiary.core import Refusal, Target
from ostiary.credentials import LeaseService
from ostiary.gate import refusals
from ostiary.gate.gate import GateSession
from ostiary.identity.groups import GroupNames
from ostiary.masking import ColumnMasking, MaskingConfig
from ostiary.policy import CedarPolicy
from ostiary.runtime.listener import Listener
from ostiary.telemetry import Meter, families

log = structlog.get_logger()

#: Of `server:`, what a process can't change while it runs.
_FIXED: Final = (
    *("url", "state", "recordings", "recording_key", "fsync", "node", "plaintext_loopback", "token_lifetime"),
    *("login_lifetime", "log", "export"),
    *("listen", "api", "metrics"),
)


@dataclass(slots=True)
class Adoption:
    """The gateway as `settings` describe it. For the loop's thread only."""

    settings: Settings
    policy: CedarPolicy
    masking: ColumnMasking
    leases: LeaseService
    targets: Targets
    groups: Current[ApprovalGroup]
    identity: CurrentIdentity
    listeners: Sequence[Listener]
    meter: Meter
    part: Part
    #: Make what follows from the settings and the names of groups; what they return puts it into force, and can't fail.
    preparing: list[Callable[[Settings, GroupNames], Callable[[], None]]] = field(default_factory=list)
    #: Told the new settings, once they are in force. None may fail.
    followers: list[Callable[[Settings, MaskingConfig], None]] = field(default_factory=list)

    def adopt(self, settings: Settings) -> None:
        """Put settings into force. Raises what the rooms raise for those that can't be; then nothing has changed."""
        old, settings = self.settings, self._with_what_stays(self.part.of(settings))
        masking = settings.masking()
        issuers = issuers_of(settings, old, self.leases.issuers)
        identity = self.identity.now.renewed(settings.trusted, settings.people)
        tls = protocol_tls(settings)
        prepared = [prepare(settings, identity.names) for prepare in self.preparing]
        # The last that may fail puts itself into force.
        version = self.policy.reload(settings.stored_policies, settings.policies)
        self.meter.count(families.RELOADS, "ok")
        log.info("policies reloaded", version=version)
        targets = {target.name: target for target in settings.targets}
        trusted = (*settings.issuers, *settings.people)
        distrusted = {each.name for each in (*old.issuers, *old.people) if each not in trusted}
        if dict(self.targets) != targets or settings.issuers != old.issuers or settings.credentials != old.credentials:
            self.targets.version += 1
        self.targets.replace(targets)
        self.leases.adopt(issuers)
        self.identity.adopt(identity, settings.issuers, settings.people)
        self.groups.replace(settings.approvals)
        remasked = self.masking.adopt(masking)
        self.settings = settings
        for listener in self.listeners:
            listener.renew(tls)
        for put in prepared:
            put()
        for follow in self.followers:
            follow(settings, masking)
        self._look_at_sessions(old, distrusted, remasked=remasked)
        log.info("configuration adopted", targets=len(targets), issuers=len(settings.issuers))

    def _with_what_stays(self, settings: Settings) -> Settings:
        changed = [name for name in _FIXED if getattr(settings, name) != getattr(self.settings, name)]
        if (settings.tls is None) is not (self.settings.tls is None):
            changed.append("tls")
            settings = replace(settings, tls=self.settings.tls)
        if changed:
            log.warning("some changes take effect when the gateway is started again", settings=changed)
        return replace(settings, **{name: getattr(self.settings, name) for name in changed})

    def _look_at_sessions(self, old: Settings, distrusted: set[str], *, remasked: bool) -> None:
        before = {target.name: target for target in old.targets}
        for driver in [driver for listener in self.listeners for driver in listener.sessions]:
            session = driver.session
            if session is None:
                continue
            name = session.target.name
            target = self.targets.get(name)
            again = target is not None and target != session.target
            refusal = self._gone(session, target, before.get(name), old.credentials, distrusted)
            if refusal is None and again and target is not None:
                refusal = session.declared(target)
            if refusal is not None:
                driver.stop(refusal)
            elif remasked or again:
                driver.reclassified()

    def _gone(
        self,
        session: GateSession,
        target: Target | None,
        before: Target | None,
        credentials: Mapping[str, Credential],
        distrusted: set[str],
    ) -> Refusal | None:
        """Why a session can't go on."""
        name, issuer = session.target.name, session.principal.issuer
        if target is None:
            return refusals.changed(f"target {name} was removed")
        same = before is not None and credentials.get(name) == self.settings.credentials[name]
        if not same or reached(target) != reached(session.target):
            return refusals.changed(f"target {name} was changed")
        if issuer in distrusted:
            return refusals.changed(f'issuer "{issuer}" was changed or removed')
        if self.identity.now.revoked(session.principal):
            return refusals.changed("the client's certificate was revoked")
        return None
