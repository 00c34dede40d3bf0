"""Use-cases that the CLI shows now, and the API and the UI later. Nothing here knows how anything is shown."""

from ostiary.control.operations import Operations, TargetView
from ostiary.control.service_accounts import (
    AccountChanged,
    AccountConflict,
    NewKey,
    ServiceAccounts,
    UnknownAccount,
    local_operator,
)

__all__ = [
    "AccountChanged",
    "AccountConflict",
    "NewKey",
    "Operations",
    "ServiceAccounts",
    "TargetView",
    "UnknownAccount",
    "local_operator",
]
