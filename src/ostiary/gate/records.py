"""What the gate puts on record. Every text comes masked."""

from ostiary.core import (
    Action,
    ActionRefused,
    IntentRecorded,
    Principal,
    Proof,
    Refusal,
    Result,
    RowsSeen,
    Ruling,
    SessionStarted,
    Target,
    ValueKind,
)


def started(session_id: str, principal: Principal, target: Target, proof: Proof, ruling: Ruling) -> SessionStarted:
    """A session that was asked for."""
    return SessionStarted(
        session_id,
        principal.id,
        principal.kind.value,
        principal.issuer,
        principal.subject,
        tuple(sorted(principal.groups)),
        principal.claims,
        principal.proof_id,
        target.name,
        target.protocol,
        proof.source,
        ruling.rules,
        proof.trace,
    )


def intent(
    action_id: int,
    action: Action,
    text: str,
    parameters: tuple[str | None, ...],
    ruling: Ruling,
    approval_id: str,
    approved_by: tuple[str, ...],
) -> IntentRecorded:
    """A command that is about to run."""
    return IntentRecorded(
        action_id,
        text,
        action.shape.summary,
        parameters,
        _accesses(action),
        ruling.verdict.value,
        ruling.rules,
        approval_id,
        approved_by,
    )


def refused(action_id: int, action: Action, text: str, refusal: Refusal) -> ActionRefused:
    """A command that does not run."""
    return ActionRefused(
        action_id, text, action.shape.summary, _accesses(action), refusal.kind.value, refusal.message, refusal.rules
    )


def seen(action_id: int, result: Result, take: int, bound: int | None) -> RowsSeen:
    """The first `take` rows as the client sees them, each cell cut to `bound` bytes."""
    cells = [_readable(result, index, take, bound) for index in range(len(result.columns))]
    rows = tuple(zip(*cells, strict=True)) if cells else ((),) * take
    return RowsSeen(action_id, tuple([column.name for column in result.columns]), rows, result.kind.value)


def _accesses(action: Action) -> tuple[str, ...]:
    return tuple([f"{access.operation.value} {access.object}" for access in action.shape.accesses])


def _readable(result: Result, index: int, take: int, bound: int | None) -> list[str | None]:
    column = result.columns[index]
    cells = result.rows.column(index)[:take]
    if column.kind is ValueKind.OPAQUE and column.binary:
        return [None if cell is None else "\\x" + cell[:bound].hex() for cell in cells]
    return [None if cell is None else cell[:bound].decode("utf-8", "replace") for cell in cells]
