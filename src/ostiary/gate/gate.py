"""The one pipeline. Read it top to bottom; it has no hooks, no plug-in order, no configuration.

Theory of operation, two rules:

1. **Nothing runs that was not judged, and nothing runs that was not recorded first.** `connect` and `judge`
   are the only makers of a `Permit`, and each makes it as its last line.
2. **Whatever goes wrong is a refusal.** Every port call stands inside a `try`; a port that raises, a
   time-out, a recording that can't be written, a result that can't be masked all come out as a `Refusal`
   with a sentence. There is no path on which an exception lets a command through.

Order at connect: identify → authorize the target → record the start → lease the credential → permit.
Order at an action: policy → what leaves its class → hold → re-check time and grant → record the intent → permit.
Where policy wants to know how much the action would touch, the target is asked, and policy again, before anything else.
Order at a result: mask → record → release.

Implementations plug in behind `gate.ports`; the order does not.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from ostiary.core import (
    Action,
    ActionFinished,
    ActionHeld,
    Lease,
    LeaseIssued,
    Outcome,
    Permit,
    Principal,
    Proof,
    RecordingLevel,
    Refusal,
    RefusalKind,
    Result,
    ResultKind,
    Ruling,
    SessionEnded,
    Shape,
    Stage,
    Target,
    Verdict,
)
from ostiary.gate import records, refusals
from ostiary.gate.ports import HoldRequest, PendingApproval, Ports, Recorder, Refused, ResultMasker, Rights
from ostiary.gate.tally import Tallies, Tally

#: Seconds that identity, credentials and approvals may take before their silence is a refusal.
CONNECT_SECONDS = 15.0
REVOKE_SECONDS = 30.0
SAMPLE_ROWS = 20
#: Actions made ready and not yet run that a session remembers; errors of older ones count as outside any action.
MAX_PREPARED = 16
SAMPLE_CELL = 256


class Gate:
    """Judges every session and every action of one gateway."""

    def __init__(self, ports: Ports, clock: Callable[[], float], session_ids: Callable[[], str]) -> None:
        self._ports = ports
        self._clock = clock
        self._session_ids = session_ids
        self.tallies = Tallies()

    def now(self) -> float:
        """Unix seconds, by the gate's clock."""
        return self._clock()

    async def connect(self, proof: Proof) -> "GateSession":
        """Admit a client to a target. Raises Refused, and only Refused; then no credential exists."""
        ports = self._ports
        recorder: Recorder | None = None
        lease: Lease | None = None
        target: Target | None = None
        versions = ports.registry.version, ports.masking.version
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                principal = await ports.identity.identify(proof)
                target = ports.registry.target(proof.target)
                if target is None:
                    raise Refused(refusals.no_such_target(proof.target))
                ruling = ports.policy.authorize_connect(principal, target, proof.source)
                session_id = self._session_ids()
                recorder = ports.recording.open(session_id)
                recorder.write(records.started(session_id, principal, target, proof, ruling))
                if ruling.verdict is not Verdict.ALLOW:
                    # A hold before there is a connection has nobody to wait in front of; it is refused.
                    raise Refused(refusals.denied(ruling, f"connect to {target.name}"))
                rights = ports.policy.rights(principal, target, proof.source)
                release = ports.masking.required(target)
                lease = await ports.credentials.lease(session_id, principal, target)
                recorder.write(LeaseIssued(lease.lease_id, lease.kind, lease.username))
                # What changes from here on finds the session among those that live.
                if (ports.registry.version, ports.masking.version) != versions:
                    raise Refused(refusals.changed("what the gateway declares was changed meanwhile"))
        except BaseException as error:
            refused = Refused(refusals.as_refusal(error, "open the session"))
            self.tallies.of(target).refuse_session(refused.refusal.kind)
            if lease is not None and target is not None:
                await self._give_back(target, lease)
            if recorder is not None:
                _close_refused(recorder, refused.refusal)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
                raise
            raise refused from error
        tally = self.tallies.of(target)
        tally.opened += 1
        permit = Permit(session_id, None, release=release, version=0)
        return GateSession(ports, self._clock, principal, target, rights, lease, recorder, permit, tally, proof.source)

    async def _give_back(self, target: Target, lease: Lease) -> None:
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                await self._ports.credentials.revoke(target, lease)
        except Exception:  # noqa: BLE001 - the lease row stays behind for the sweeper; the refusal is what matters here
            return


@dataclass(slots=True)
class _Running:
    """What the gate remembers of an action between its permit and its end."""

    action: Action
    masker: ResultMasker | None
    sampled: int = 0
    #: What maskers before this one masked.
    masked: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An action that policy holds, or rules on only by the target's estimate: hand it to `GateSession.hold`."""

    action_id: int
    action: Action
    ruling: Ruling

    def weighing(self, rows: int | None) -> "Hold":
        """The same with the target's estimate of rows."""
        return replace(self, action=replace(self.action, rows_estimate=rows))


class GateSession:
    """One admitted session."""

    def __init__(
        self,
        ports: Ports,
        clock: Callable[[], float],
        principal: Principal,
        target: Target,
        rights: Rights,
        lease: Lease,
        recorder: Recorder,
        permit: Permit,
        tally: Tally,
        source: str,
    ) -> None:
        self.session_id = permit.session_id
        self.principal = principal
        self.target = target
        self.lease = lease
        #: Covers handshakes, pings, cancels and the engine's own questions to the target.
        self.permit = permit
        #: Of all sessions of this target; the driver counts the bytes.
        self.tally = tally
        self._source = source
        self._ports = ports
        self._rights = rights
        self._clock = clock
        self._recorder = recorder
        self._running: dict[int, _Running] = {}
        #: What was made ready last: the target may yet refuse it, and say why.
        self._prepared: dict[int, Action] = {}
        self._actions = 0
        self._refused = 0

    # ------------------------------------------------------------ actions

    def judge(self, action_id: int, action: Action, stage: Stage) -> Permit | Refusal | Hold:
        """Rule on one action. A `Hold` at stage RUN must be weighed and passed to `hold`; at PREPARE it is a permit."""
        try:
            if self._clock() >= self.principal.session_until:
                return self._refuse(action_id, action, refusals.expired())
            ruling = self._rights.decide(action)
            if ruling.verdict is Verdict.DENY:
                return self._refuse(action_id, action, refusals.denied(ruling, action.shape.summary))
            if action.shape.moves != () and (leaving := self._leaving(action)) is not None:
                return self._refuse(action_id, action, leaving)
            if stage is Stage.PREPARE:
                if len(self._prepared) >= MAX_PREPARED:
                    del self._prepared[next(iter(self._prepared))]
                self._prepared[action_id] = action
                return Permit(self.session_id, action_id, release=self.permit.release, version=ruling.version)
            if ruling.verdict is Verdict.ALLOW:
                return self._permit(action_id, action, ruling, "", ())
            return Hold(action_id, action, ruling)
        except Exception as error:  # noqa: BLE001 - rule 2
            return self._refuse(action_id, action, refusals.as_refusal(error, action.shape.summary))

    def _leaving(self, action: Action) -> Refusal | None:
        """Why values may not be put where the action puts them."""
        return self._ports.masking.forbidden(self._rights, self.target, action.shape)

    async def hold(self, hold: Hold, tell: Callable[[str], None]) -> Permit | Refusal:
        """Wait for people, then judge again. `tell` gets the notice for the client once the request is stored.

        What policy wanted weighed is judged again first, with the target's estimate: nobody may have to be asked.
        """
        if hold.ruling.verdict is Verdict.WEIGH:
            answer = self.judge(hold.action_id, hold.action, Stage.RUN)
            if not isinstance(answer, Hold):
                return answer
            if answer.ruling.verdict is not Verdict.HOLD:
                return self._refuse(
                    hold.action_id, hold.action, refusals.denied(answer.ruling, hold.action.shape.summary)
                )
            hold = answer
        pending: PendingApproval | None = None
        action_id, action, ruling = hold.action_id, hold.action, hold.ruling
        try:
            masking = self._ports.masking
            request = HoldRequest(
                session_id=self.session_id,
                action_id=action_id,
                principal=self.principal,
                target=self.target,
                action=action,
                parameters=masking.parameters(self.target, action),
                groups=ruling.approval_groups,
                rules=ruling.rules,
                reason=ruling.reason,
            )
            pending = await self._ports.approvals.request(request)
            self._recorder.write(
                ActionHeld(
                    action_id,
                    pending.approval_id,
                    ruling.approval_groups,
                    masking.text(self.target, action.text),
                    ruling.rules,
                )
            )
            self.tally.held += 1
            tell(pending.notice)
            decision = await pending.decided()
            if not decision.approved:
                return self._refuse(
                    action_id, action, refusals.not_approved(pending.approval_id, decision.by, decision.reason)
                )
            # People take minutes: the token may have ended, the account been closed, the policy changed.
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._ports.standing.check(self.principal, self.target, self._source)
            if self._clock() >= self.principal.session_until:
                return self._refuse(action_id, action, refusals.expired())
            if (unwelcome := self.readmit()) is not None:
                return self._refuse(action_id, action, unwelcome)
            again = self._rights.decide(action)
            lifted = again.verdict is Verdict.ALLOW or (
                again.verdict is Verdict.HOLD and set(again.approval_groups) <= set(ruling.approval_groups)
            )
            if not lifted:
                return self._refuse(action_id, action, refusals.denied(again, action.shape.summary))
            if (leaving := self._leaving(action)) is not None:
                return self._refuse(action_id, action, leaving)
            return self._permit(action_id, action, again, pending.approval_id, decision.by)
        except asyncio.CancelledError:
            if pending is not None:
                await _withdraw(pending, "the client cancelled or went away")
            raise
        except Exception as error:  # noqa: BLE001 - rule 2
            if pending is not None:
                # Nobody waits any more: a person who approves it now must learn that.
                await _withdraw(pending, "the gateway could not go on with it")
            return self._refuse(action_id, action, refusals.as_refusal(error, action.shape.summary))

    def abandon(self, hold: Hold, why: str) -> None:
        """A hold that nobody waits for any more before it was put to anyone: say so in the record."""
        what = Refusal(RefusalKind.APPROVAL, f"{hold.action.shape.summary}: not put to anyone: {why}")
        self._refuse(hold.action_id, hold.action, what)

    def renew(self, permit: Permit) -> Permit | Refusal:
        """A permit minted under an older policy, asked for anew at the moment of use."""
        running = self._running.get(permit.action_id) if permit.action_id is not None else None
        if permit.session_id != self.session_id or running is None:
            return Refusal(RefusalKind.INTERNAL, "this permit belongs to no running action", "report this as a bug")
        try:
            ruling = self._rights.decide(running.action)
        except Exception as error:  # noqa: BLE001 - rule 2
            return refusals.as_refusal(error, running.action.shape.summary)
        if ruling.verdict is not Verdict.ALLOW:
            return refusals.denied(ruling, running.action.shape.summary)
        return replace(permit, version=ruling.version)

    @property
    def version(self) -> int:
        """Version of the policy that rules now; a permit of another version must be renewed."""
        return self._ports.policy.version

    def _permit(
        self, action_id: int, action: Action, ruling: Ruling, approval_id: str, approved_by: tuple[str, ...]
    ) -> Permit:
        masking = self._ports.masking
        text = masking.text(self.target, action.text)
        parameters = masking.parameters(self.target, action) if action.parameters else ()
        self._recorder.write(records.intent(action_id, action, text, parameters, ruling, approval_id, approved_by))
        self._actions += 1
        self.tally.allowed += 1
        self._running[action_id] = _Running(action, None)
        return Permit(self.session_id, action_id, release=self.permit.release, version=ruling.version)

    def _refuse(self, action_id: int, action: Action, refusal: Refusal) -> Refusal:
        """Record the refusal if that is possible; it stands either way."""
        self._refused += 1
        self.tally.refuse_statement(refusal.kind)
        try:
            text = self._ports.masking.text(self.target, action.text)
            self._recorder.later(records.refused(action_id, action, text, refusal))
        except Exception:  # noqa: BLE001 - refusing must not depend on the recorder; nothing ran
            return refusal
        return refusal

    # ------------------------------------------------------------ results

    def release(self, action_id: int, result: Result) -> tuple[Result | Refusal, bool]:
        """Mask a batch and record what the client will see. Second value: later batches need no masking."""
        running = self._running.get(action_id)
        try:
            if running is None:
                # Notices and errors outside any action still pass the detectors.
                running = _Running(self._prepared.get(action_id) or _no_action(), None)
            if running.masker is None:
                running.masker = self._ports.masking.masker(self._rights, self.target, running.action)
            masked, clear = running.masker.mask(result)
            full = self.target.recording is RecordingLevel.FULL
            if full or running.sampled < SAMPLE_ROWS:
                self._sample(action_id, running, masked, full)
        except Exception as error:  # noqa: BLE001 - rule 2
            return replace(refusals.as_refusal(error, "mask the result"), kind=RefusalKind.MASKING), False
        return masked, clear and not full

    def _sample(self, action_id: int, running: _Running, result: Result, full: bool) -> None:
        take = len(result.rows) if full else min(len(result.rows), SAMPLE_ROWS - running.sampled)
        if take <= 0:
            return
        seen = records.seen(action_id, result, take, None if full else SAMPLE_CELL)
        if result.kind is ResultKind.ROWS:
            running.sampled += take
        if full:
            self._recorder.write(seen)
        else:
            self._recorder.later(seen)

    def observe(self, action_id: int, outcome: Outcome) -> None:
        """An action ended. Raises when that can't be recorded: the driver then ends the session."""
        running = self._running.pop(action_id, None)
        masked = running.masker.masked if running is not None and running.masker is not None else {}
        if running is not None and running.masked is not None:
            masked = running.masked | masked
        self.tally.rows += outcome.rows
        if masked:
            self.tally.masked_columns += len(masked)
        self._recorder.later(
            ActionFinished(action_id, outcome.status, outcome.tag, outcome.rows, outcome.bytes, masked)
        )

    def flush(self) -> None:
        """Called by the driver's timer: facts that wait for the next write are written. Raises as `observe` does."""
        self._recorder.flush()

    # ------------------------------------------------------------ what is declared changes

    def readmit(self) -> Refusal | None:
        """May the principal connect, as policy is now? The refusal that ends the session, if not."""
        try:
            ruling = self._ports.policy.authorize_connect(self.principal, self.target, self._source)
        except Exception as error:  # noqa: BLE001 - rule 2
            return refusals.as_refusal(error, f"connect to {self.target.name}")
        return None if ruling.verdict is Verdict.ALLOW else refusals.denied(ruling, f"connect to {self.target.name}")

    def declared(self, target: Target) -> Refusal | None:
        """The same target, declared with other labels: rights are those at this one from now on. As `readmit`."""
        self.target = target
        try:
            self._rights = self._ports.policy.rights(self.principal, target, self._source)
        except Exception as error:  # noqa: BLE001 - rule 2
            return refusals.as_refusal(error, f"connect to {target.name}")
        return self.readmit()

    def reclassified(self) -> Refusal | None:
        """Results are masked as masking is now, from the next batch on. The refusal that ends the session, if any."""
        for running in self._running.values():
            if running.masker is not None:
                running.masked = (running.masked or {}) | running.masker.masked
                running.masker = None
        try:
            required = self._ports.masking.required(self.target)
        except Exception as error:  # noqa: BLE001 - rule 2
            return refusals.as_refusal(error, "mask results")
        if required and not self.permit.release:
            return refusals.changed(f"results of target {self.target.name} are masked from now on")
        return None

    # ------------------------------------------------------------ end

    def expired(self) -> Refusal | None:
        """The refusal that ends this session, once its token's allowed lifetime is over."""
        return refusals.expired() if self._clock() >= self.principal.session_until else None

    async def end(self, reason: str) -> None:
        """Take the credential back, record the end, seal the recording. Never raises."""
        try:
            async with asyncio.timeout(REVOKE_SECONDS):
                credential = await self._ports.credentials.revoke(self.target, self.lease)
        except Exception as error:  # noqa: BLE001 - the lease row stays for a retry; the record says what is open
            credential = f"NOT CONFIRMED: {type(error).__name__}: {error}"
        try:
            self._recorder.write(SessionEnded(reason, credential, self._actions, self._refused))
        except Exception as error:  # noqa: BLE001 - nothing runs any more; the missing seal shows the loss
            reason = f"{reason}; the end could not be recorded ({type(error).__name__})"
        self._recorder.close(reason)


async def _withdraw(pending: PendingApproval, reason: str) -> None:
    try:
        await pending.withdraw(reason)
    except Exception:  # noqa: BLE001 - the action is refused already; the request expires by itself
        return


def _close_refused(recorder: Recorder, refusal: Refusal) -> None:
    try:
        recorder.write(SessionEnded(f"refused: {refusal.message}", "none was lent", 0, 1))
    except Exception:  # noqa: BLE001 - the session is refused already; close() leaves the seal missing
        recorder.close("refused; the end could not be recorded")
        return
    recorder.close("refused")


def _no_action() -> Action:
    return Action(Shape((), "outside any command", sources=None), "")
