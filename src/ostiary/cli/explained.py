"""How policies rule, and why: as JSON has it, and for people."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ostiary.cli.output import say
from ostiary.core import Verdict
from ostiary.policy import Explanation, Rule

_STYLE: Final[Mapping[str, str]] = {
    Verdict.ALLOW: "green",
    Verdict.HOLD: "yellow",
    Verdict.WEIGH: "yellow",
    Verdict.DENY: "red",
}
#: Which of the rules that fired made a verdict, as `Finding.deciding` has it.
_DECIDING: Final[Mapping[str, Callable[[Mapping[str, Any]], list[Any]]]] = {
    Verdict.ALLOW: lambda finding: finding["permits"],
    Verdict.HOLD: lambda finding: finding["forbids"],
    Verdict.DENY: lambda finding: [rule for rule in finding["forbids"] if rule["approval"] is None],
    Verdict.WEIGH: lambda finding: finding["estimates"],
}


def show(found: Mapping[str, Any]) -> None:
    """The ruling, and each rule that fired."""
    say((found["verdict"], _STYLE.get(found["verdict"], "")), f"  {found['reason']}")
    for finding in found["findings"]:
        verdict = finding["verdict"]
        say("  ", (f"{verdict:5}", _STYLE.get(verdict, "")), f" {finding['action']} {finding['resource']}")
        fired = [*finding["permits"], *finding["forbids"]]
        deciding = _DECIDING[verdict](finding) if verdict in _DECIDING else []
        for rule in (*fired, *(rule for rule in deciding if rule not in fired)):
            mark = "decides" if rule in deciding else "fired"
            approval = f", lifted by {rule['approval']}" if rule["approval"] else ""
            say(f"        {rule['effect']} {rule['name']}  {rule['file']}:{rule['line']}  ({mark}{approval})")
        if finding["sentence"]:
            say(f"        {finding['sentence']}")


def plain(found: Explanation) -> dict[str, Any]:
    """As JSON has it."""

    def told(rule: Rule) -> dict[str, object]:
        return {
            "name": rule.name,
            "effect": rule.effect,
            "file": rule.file,
            "line": rule.line,
            "approval": rule.approval,
            "reason": rule.reason,
        }

    return {
        "verdict": found.ruling.verdict.value,
        "rules": list(found.ruling.rules),
        "reason": found.ruling.reason,
        "approval_groups": list(found.ruling.approval_groups),
        "findings": [
            {
                "action": finding.action,
                "resource": finding.resource,
                "verdict": finding.verdict.value,
                "permits": [told(rule) for rule in finding.permits],
                "forbids": [told(rule) for rule in finding.forbids],
                "estimates": [told(rule) for rule in finding.estimates],
                "sentence": finding.sentence,
            }
            for finding in found.findings
        ],
    }
