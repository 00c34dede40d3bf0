"""Who may do what: Cedar policies, loaded whole or not at all, asked through the gate's `Policy` and `Rights`."""

from ostiary.policy.cedar import CedarPolicy, CedarRights
from ostiary.policy.explain import Explanation, check, explain, explain_unmask, single_access
from ostiary.policy.judge import Finding
from ostiary.policy.load import SCHEMA_TEXT, PolicyError, Problem
from ostiary.policy.rules import ControlAction, Rule

__all__ = [
    "SCHEMA_TEXT",
    "CedarPolicy",
    "CedarRights",
    "ControlAction",
    "Explanation",
    "Finding",
    "PolicyError",
    "Problem",
    "Rule",
    "check",
    "explain",
    "explain_unmask",
    "single_access",
]
