"""The gate's refusals, as the client reads them: the thing, the reason, the next step."""

from ostiary.core import Refusal, RefusalKind, Ruling, Verdict
from ostiary.gate.ports import Refused


def as_refusal(error: BaseException, what: str) -> Refusal:
    """An unexpected error names its type only: its text may quote what it choked on."""
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, TimeoutError):
        return Refusal(RefusalKind.INTERNAL, f"could not {what}: a check did not answer in time", "try again")
    kind = RefusalKind.RECORDING if isinstance(error, OSError) else RefusalKind.INTERNAL
    return Refusal(
        kind,
        f"refused: {what}: the gateway could not complete its checks ({type(error).__name__})",
        "nothing was sent to the target; the gateway's log has the details",
    )


def denied(ruling: Ruling, what: str) -> Refusal:
    """What policy does not allow; `what`: the thing, where the ruling gives no reason."""
    rules = ", ".join(f'"{rule}"' for rule in ruling.rules)
    message = f"denied by policy {rules}: {ruling.reason or what}" if rules else f"denied: {ruling.reason or what}"
    hint = "ask the owner of the policy for a permit"
    if ruling.verdict is Verdict.WEIGH:
        hint = f"send it as one plain statement, which the target can estimate, or {hint}"
    return Refusal(RefusalKind.POLICY, message, hint, ruling.rules)


def expired() -> Refusal:
    """The session has outlived its token."""
    return Refusal(
        RefusalKind.EXPIRED, "the session's token has ended, and its grace period too", "connect again with a new token"
    )


def changed(what: str) -> Refusal:
    """What the session stands on is not what it was opened on."""
    return Refusal(RefusalKind.EXPIRED, f"{what}; this session ends", "connect again")


def no_such_target(name: str) -> Refusal:
    """The client asked for a target that is not declared."""
    shown = name if len(name) <= 64 and name.isprintable() else "(unprintable)"
    return Refusal(
        RefusalKind.POLICY, f'no target "{shown}" is known here', "the database name must be a target's name"
    )


def not_approved(approval_id: str, by: tuple[str, ...], reason: str) -> Refusal:
    """People said no, or nobody answered (`by` is empty)."""
    who = f"denied by {', '.join(by)}" if by else "not approved in time"
    why = f": {reason}" if reason else ""
    return Refusal(RefusalKind.APPROVAL, f"request {approval_id} was {who}{why}", "run it again to ask anew")
