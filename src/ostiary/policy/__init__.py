"""Who may do what: Cedar policies, loaded whole or not at all, asked through the gate's `Policy` and `Rights`."""

from ostiary.policy.cedar import CedarPolicy, CedarRights, ruling_of
from ostiary.policy.explain import Explanation, check, explain, explain_unmask, rules_of, single_access
from ostiary.policy.judge import Finding, Judge, address_of
from ostiary.policy.load import SCHEMA_TEXT, PolicyError, Problem
from ostiary.policy.rules import ControlAction, Rule, RuleSet

__all__ = [
    "SCHEMA_TEXT",
    "CedarPolicy",
    "CedarRights",
    "ControlAction",
    "Explanation",
    "Finding",
    "Judge",
    "PolicyError",
    "Problem",
    "Rule",
    "RuleSet",
    "address_of",
    "check",
    "explain",
    "explain_unmask",
    "rules_of",
    "ruling_of",
    "single_access",
]
