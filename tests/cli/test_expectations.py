"""`policy test`: expectations of the policies, met or not."""

from pathlib import Path

import pytest

from tests.cli.kit import Desk

FILE = """\
tests:
  - {name: jobs read, principal: ci:job, groups: [app], target: orders, sql: SELECT 1, expect: allow, rules: [works]}
  - {principal: ci:job, groups: [app], target: orders, operation: define, object: public.x, expect: hold}
  - {name: nobody else, principal: ci:other, target: orders, sql: SELECT 1, expect: deny, rules: []}
"""


def test_all_are_met(desk: Desk, tmp_path: Path) -> None:
    """Exit code 0; each with its ruling."""
    (tmp_path / "t.yaml").write_text(FILE)
    done = desk.run("policy", "test", str(tmp_path / "t.yaml"))
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("3 expectations: 3 met, 0 not\n")
    found = desk.run("policy", "test", str(tmp_path / "t.yaml"), "-o", "json").json
    assert [(each["passed"], each["got"]) for each in found] == [(True, "allow"), (True, "hold"), (True, "deny")]


def test_one_is_not(desk: Desk, tmp_path: Path) -> None:
    """Exit code 1, what was expected and what came; by other policies as well."""
    (tmp_path / "t.yaml").write_text(FILE)
    (tmp_path / "other.cedar").write_text('@id("all") permit (principal, action, resource);')
    done = desk.run("policy", "test", str(tmp_path / "t.yaml"), "--policies", str(tmp_path / "other.cedar"))
    assert done.code == 1
    assert "FAILED nobody else\n  - deny by no rule\n  + allow by all\n" in done.out
    assert done.out.endswith("3 expectations: 0 met, 3 not\n")


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("tests: []", 2, "length >= 1"),
        ("tests: [{principal: a:b, target: orders, expect: allow}]", 2, "give `sql`, or `operation` with `object`"),
        ("tests: [{principal: a:b, target: orders, sql: x, expect: maybe}]", 2, "Invalid enum value 'maybe'"),
        ("tests: [{principal: a:b, target: orders, sql: x, expect: allow, extra: 1}]", 2, "unknown field `extra`"),
        ("tests: [{principal: ab, target: orders, sql: SELECT 1, expect: allow}]", 2, "write issuer:subject"),
        ("tests: [{principal: a:b, target: nix, sql: SELECT 1, expect: allow}]", 4, 'no target "nix"'),
        ("tests: [{principal: a:b, target: orders, sql: SELEC, expect: allow}]", 2, "SELEC"),
        ("tests: {", 2, "not YAML"),
    ],
)
def test_files_that_are_none(desk: Desk, tmp_path: Path, text: str, code: int, sentence: str) -> None:
    """The thing, the reason; nothing on standard output."""
    (tmp_path / "t.yaml").write_text(text)
    done = desk.run("policy", "test", str(tmp_path / "t.yaml"))
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    assert desk.run("policy", "test", str(tmp_path / "none.yaml")).code == 2


def test_simulate(desk: Desk, tmp_path: Path) -> None:
    """Nothing of hostile text reaches the terminal; what can't be asked about is counted."""
    desk.record()
    (tmp_path / "new.cedar").write_text("permit (principal, action, resource);")
    done = desk.run("policy", "simulate", "--policies", str(tmp_path))
    assert (done.code, done.out) == (0, "0 sessions, 0 commands: 0 would be ruled otherwise\n")
    assert desk.run("policy", "simulate", "--policies", str(tmp_path / "none")).code == 2
