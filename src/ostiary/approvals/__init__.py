"""Requests that wait for a person: stored, shown, decided by compare-and-set, used once."""

from ostiary.approvals.desk import ApprovalDesk, ApprovalError, Changed, NotAllowed, Settled, UnknownRequest
from ostiary.approvals.model import Approval, ApprovalGroup, ApprovalRequest, ApprovalState, Quorum, Vote
from ostiary.approvals.repository import Admission, ApprovalRepository, Limits
from ostiary.approvals.service import ApprovalService

__all__ = [
    "Admission",
    "Approval",
    "ApprovalDesk",
    "ApprovalError",
    "ApprovalGroup",
    "ApprovalRepository",
    "ApprovalRequest",
    "ApprovalService",
    "ApprovalState",
    "Changed",
    "Limits",
    "NotAllowed",
    "Quorum",
    "Settled",
    "UnknownRequest",
    "Vote",
]
