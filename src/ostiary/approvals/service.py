"""The `Approvals` port: stores a held action, waits for people, hands the approval out once.

Theory of operation: the decision is made by another process as often as not, so it lives in the store and nowhere
else. One poller a process looks at all requests that wait here, and only while one waits; a decision made in this
process wakes it. An approval is consumed by compare-and-set *before* it is returned. Whatever goes wrong on the way,
a store that fails or does not answer included, is a `Refused`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar, assert_never

import structlog

from ostiary.approvals.binding import digest
from ostiary.approvals.desk import names
from ostiary.approvals.model import (
    STALE_SECONDS,
    Approval,
    ApprovalGroup,
    ApprovalRequest,
    ApprovalState,
    Quorum,
    new_code,
)
from ostiary.approvals.repository import Admission, ApprovalRepository, Limits
from ostiary.core import Refusal, RefusalKind
from ostiary.gate.ports import Decision, HoldRequest, Refused

#: A store that is silent for this many seconds has failed.
STORE_SECONDS: Final = 10.0
#: Seconds between signs of life; well under STALE_SECONDS.
BEAT_SECONDS: Final = 5.0
#: Characters of a command, and of its bind values together. Nobody reads more before saying yes.
MAX_SHOWN: Final = 64 * 1024
_PRUNE_SECONDS: Final = 86_400.0
_CODE_ATTEMPTS: Final = 5
_MAX_ROWS: Final = 2**63 - 1
_AGAIN: Final = "run it again to ask anew"

T = TypeVar("T")
log = structlog.get_logger()


class ApprovalService:
    """Requests of the sessions in this process. Use between `start` and `stop`."""

    def __init__(
        self,
        repository: ApprovalRepository,
        groups: Mapping[str, ApprovalGroup],
        clock: Callable[[], float],
        url: str,
        node_id: str,
        *,
        limits: Limits | None = None,
        poll_seconds: float = 0.3,
    ) -> None:
        """`url` is `server.url` or "". `node_id` names this process across restarts; no two processes share one."""
        self._repository = repository
        self._groups = groups
        self._clock = clock
        self._url = url.rstrip("/")
        self._node = node_id
        self._owner = secrets.token_hex(8)
        self._limits = limits or Limits()
        self._poll_seconds = poll_seconds
        self._waiting: dict[str, _Pending] = {}
        self._wake = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._beaten_at = 0.0
        self._pruned_at = 0.0

    async def start(self) -> None:
        """Withdraw what dead processes left behind, then serve. Raises what the store raises."""
        now = self._clock()
        left = await self._ask(
            self._repository.withdraw_orphans(
                self._node, self._owner, now - STALE_SECONDS, "the gateway process that held it ended", now
            )
        )
        if left:
            log.info("approvals of ended processes withdrawn", requests=left)
        self._poller = asyncio.create_task(self._poll(), name="approvals")

    async def stop(self) -> None:
        """Withdraw what waits here; those who wait are refused."""
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.gather(poller, return_exceptions=True)
        for pending in list(self._waiting.values()):
            pending.fail("the gateway is shutting down")
            await pending.withdraw("the gateway is shutting down")

    def wake(self) -> None:
        """Look at the store now: something was decided in this process."""
        self._wake.set()

    async def request(self, request: HoldRequest) -> "_Pending":
        """Store the request. Raises Refused(APPROVAL) when it can't be asked, or when the store fails."""
        if self._poller is None:
            raise _refused("approvals are not being served: the gateway is starting or stopping", "try again")
        quorums, timeout = self._quorums(request.groups)
        _check_readable(request)
        nonce = secrets.token_bytes(32)
        for _ in range(_CODE_ATTEMPTS):
            stored = self._stored(new_code(), nonce, request, quorums, timeout)
            if stored.expires_at <= stored.created_at:
                raise _refused("the session ends before anybody could approve this", "connect again with a new token")
            try:
                admission = await self._ask(self._repository.add(Approval(stored, stored.created_at), self._limits))
            except Exception as error:
                raise _store_failed("stored", error) from error
            if admission is Admission.CODE_TAKEN:
                continue
            _check_admitted(admission)
            pending = _Pending(self, request, stored, nonce, self._notice(stored))
            self._waiting[stored.code] = pending
            self._wake.set()
            return pending
        raise _refused("no free request code was found", "try again")

    # ------------------------------------------------------------ asking

    def _quorums(self, groups: tuple[str, ...]) -> tuple[tuple[Quorum, ...], float]:
        if not groups:
            raise _refused("policy holds this, but names no group that could approve it", "mend the rule's @approval")
        for group in groups:
            if group not in self._groups:
                raise _refused(
                    f'this needs approval by "{group}", and no such approval group is configured',
                    f"add `approvals: {group}: {{members: […]}}` to the gateway's configuration",
                )
        unique = {group: self._groups[group] for group in groups}
        quorums = tuple(Quorum(name, group.required) for name, group in unique.items())
        return quorums, min(group.timeout for group in unique.values())

    def _stored(
        self, code: str, nonce: bytes, request: HoldRequest, quorums: tuple[Quorum, ...], timeout: float
    ) -> ApprovalRequest:
        now = self._clock()
        action, principal = request.action, request.principal
        rows = action.rows_estimate
        return ApprovalRequest(
            code=code,
            session_id=request.session_id,
            action_id=request.action_id,
            principal_kind=principal.kind.value,
            issuer=principal.issuer,
            subject=principal.subject,
            principal_groups=tuple(sorted(principal.groups)),
            target=request.target.name,
            text=action.text,
            parameters=request.parameters,
            accesses=tuple(f"{access.operation.value} {access.object}" for access in action.shape.accesses),
            summary=action.shape.summary,
            rules=request.rules,
            reason=request.reason,
            quorums=quorums,
            rows_estimate=None if rows is None else min(rows, _MAX_ROWS),
            digest=digest(nonce, code, request, quorums),
            created_at=now,
            # An approval after the session's end could not be used.
            expires_at=min(now + timeout, principal.session_until),
            node=self._node,
            owner=self._owner,
        )

    def _notice(self, stored: ApprovalRequest) -> str:
        where = f"{self._url}/a/{stored.code}" if self._url else f"ostiary approvals approve {stored.code}"
        ends = _duration(stored.expires_at - stored.created_at)
        return f"held for approval by {names(stored.quorums)} (request {stored.code}, expires in {ends}): {where}"

    # ------------------------------------------------------------ waiting

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds if self._waiting else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._check()
            except Exception as error:
                # Nobody may wait for a store that fails: all are refused.
                log.exception("approvals: the state store failed")
                for pending in list(self._waiting.values()):
                    pending.fail(_store_failed("watched", error).refusal.message)

    async def _check(self) -> None:
        """Settle what is no longer pending; a sign of life, and once a day the broom."""
        now = self._clock()
        if any(pending.stored.expires_at <= now for pending in self._waiting.values()):
            await self._ask(self._repository.expire(now))
        codes = tuple(self._waiting)
        if not codes:
            return
        still = await self._ask(self._repository.still_pending(codes))
        for code in codes:
            if code not in still and code in self._waiting:
                self._waiting.pop(code).settled.set()
        if still and now - self._beaten_at >= BEAT_SECONDS:
            await self._ask(self._repository.beat(still, now))
            self._beaten_at = now
        if now - self._pruned_at >= _PRUNE_SECONDS:
            await self._ask(self._repository.prune(now - self._limits.keep_days * 86_400))
            self._pruned_at = now

    def _forget(self, pending: "_Pending") -> None:
        self._waiting.pop(pending.approval_id, None)

    async def _outcome(self, pending: "_Pending") -> Decision:
        code = pending.approval_id
        approval = await self._ask(self._repository.get(code))
        if approval is None:
            raise _refused(f"request {code} is no longer in the state store", _AGAIN)
        if approval.request != pending.stored:
            raise _refused(f"request {code} was changed in the state store after it was asked", _AGAIN)
        match approval.state:
            case ApprovalState.PENDING:
                raise _refused(f"request {code} has not been decided", _AGAIN)
            case ApprovalState.APPROVED:
                return await self._consume(pending, approval)
            case ApprovalState.DENIED:
                denial = approval.votes[-1]
                return Decision(approved=False, by=(denial.by,), reason=denial.reason)
            case ApprovalState.EXPIRED:
                return Decision(approved=False)
            case ApprovalState.WITHDRAWN:
                raise _refused(f"request {code} was withdrawn: {approval.note}", _AGAIN)
            case ApprovalState.CONSUMED:
                raise _refused(f"the approval {code} has been used already: it is good for one use", _AGAIN)
            case _:
                assert_never(approval.state)

    async def _consume(self, pending: "_Pending", approval: Approval) -> Decision:
        if approval.missing:
            raise _refused(f"request {approval.request.code} is marked as approved, but lacks approvals", _AGAIN)
        live = digest(pending.nonce, approval.request.code, pending.live, approval.request.quorums)
        if not await self._ask(self._repository.consume(approval, live, self._clock() - STALE_SECONDS)):
            raise _refused(
                f"the approval {approval.request.code} is void: already used, withdrawn, given too long ago, "
                "or not for exactly this command",
                _AGAIN,
            )
        reasons = "; ".join(vote.reason for vote in approval.votes if vote.reason)
        return Decision(approved=True, by=approval.approvers, reason=reasons)

    async def _withdraw(self, pending: "_Pending", reason: str) -> None:
        self._forget(pending)
        try:
            await self._ask(self._repository.withdraw(pending.approval_id, reason, self._clock()))
        except Exception as error:  # noqa: BLE001 - without a sign of life the request is void in STALE_SECONDS anyway
            log.warning("approvals: a request could not be withdrawn", code=pending.approval_id, error=str(error))

    async def _ask(self, call: Awaitable[T]) -> T:
        async with asyncio.timeout(STORE_SECONDS):
            return await call


class _Pending:
    """One held action of this process."""

    def __init__(
        self, service: ApprovalService, live: HoldRequest, stored: ApprovalRequest, nonce: bytes, notice: str
    ) -> None:
        self.live = live
        self.stored = stored
        self.nonce = nonce
        self.settled = asyncio.Event()
        self._service = service
        self._notice = notice
        self._failure = ""

    @property
    def approval_id(self) -> str:
        """The request's code."""
        return self.stored.code

    @property
    def notice(self) -> str:
        """The sentence for the client."""
        return self._notice

    def fail(self, message: str) -> None:
        """Stop waiting: the answer is a refusal."""
        self._failure = message
        self._service._forget(self)
        self.settled.set()

    async def decided(self) -> Decision:
        """Wait for the decision or the expiry; an approval is consumed. Raises Refused(APPROVAL) for all else."""
        try:
            await self.settled.wait()
            if self._failure:
                raise _refused(f"request {self.approval_id}: {self._failure}", _AGAIN)
            return await self._service._outcome(self)
        except Refused:
            raise
        except Exception as error:
            raise _store_failed("read", error) from error

    async def withdraw(self, reason: str) -> None:
        """Nobody wants this any more. Never raises."""
        await self._service._withdraw(self, reason)


# ---------------------------------------------------------------- sentences


def _refused(message: str, hint: str) -> Refused:
    return Refused(Refusal(RefusalKind.APPROVAL, message, hint))


def _store_failed(what: str, error: Exception) -> Refused:
    return _refused(
        f"the approval could not be {what}: the gateway's state store failed ({type(error).__name__})",
        "nothing was sent to the target; try again, and see the gateway's log",
    )


def _check_readable(request: HoldRequest) -> None:
    values = sum(len(value) for value in request.parameters if value is not None)
    if len(request.action.text) > MAX_SHOWN or values > MAX_SHOWN or len(request.parameters) > MAX_SHOWN:
        raise _refused(
            f"this needs approval, and is too long for a person to read (limit {MAX_SHOWN} characters of text, "
            "and as many of bind values)",
            "split the command",
        )


def _check_admitted(admission: Admission) -> None:
    wait = "wait until some are decided"
    match admission:
        case Admission.STORED | Admission.CODE_TAKEN:
            return
        case Admission.SESSION_FULL:
            raise _refused("too many commands of this session wait for approval", wait)
        case Admission.PRINCIPAL_FULL:
            raise _refused("too many commands of this identity wait for approval", wait)
        case Admission.FULL:
            raise _refused("too many commands wait for approval at this gateway", wait)
        case _:
            assert_never(admission)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
