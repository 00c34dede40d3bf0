"""Loading: all or nothing, every problem with its place, bounds; reload keeps what is right."""

from pathlib import Path

import pytest

from ostiary.core import Verdict
from ostiary.policy import CedarPolicy, PolicyError, check
from ostiary.policy import load as loading
from tests.policy.kit import SOURCE, TARGET, Clock, Write, decide, does, put, who

GOOD = "permit(principal, action, resource);"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("permit(principal, action resource);", 1, "not a Cedar policy: unexpected token `resource`"),
        ("// a; b\n\n  permit(principal, action,\n resource) when { };", 3, "not a Cedar policy"),
        (GOOD + '\npermit(principal, action == Action::"raed", resource);', 2, 'unrecognized action `Action::"raed"`'),
        ('permit(principal in Gruop::"x", action, resource);', 1, "unrecognized entity type `Gruop`"),
        ("permit(principal, action, resource) when { context.bogus };", 1, "attribute `bogus` in context"),
        (
            "permit(principal, action, resource) when { context.rows_estimate > 3 };",
            1,
            "optional attribute `rows_estimate`",
        ),
        ("permit(principal, action, resource) when { context.source.isLoopback() };", 1, "optional attribute `source`"),
        ('permit(principal, action, resource) when { 1 + "a" == 2 };', 1, "expected Long but saw String"),
        ('permit(principal, action, resource) when { context.target.getTag("x") == "y" };', 1, "tag"),
        (
            'permit(principal, action == Action::"unmask", resource in Target::"t");',
            1,
            "unable to find an applicable action",
        ),
        ("permit(principal == ?principal, action, resource);", 1, "a template"),
        ("permit(principal, action, resource)", 1, "not a Cedar policy"),
        (";", 1, "a template|not a Cedar policy"),
        (
            GOOD + '\n\n@id("x") permit(principal, action, resource) when { "unterminated };\n' + GOOD,
            3,
            "not a Cedar policy",
        ),
        ('@id("x") @id("y") permit(principal, action, resource);', 1, "duplicate annotation"),
        ('@id("a")\n' + GOOD + '\n@id("a")\n' + GOOD, 3, 'the name "a" is taken by .*0.cedar:1'),
        ('@id("") ' + GOOD, 1, "@id must be 1 to 64 printable characters"),
        ("@id " + GOOD, 1, "@id must be"),
        ('@id("a\\nb") ' + GOOD, 1, "@id must be"),
        ('@id("a\\"b") ' + GOOD, 1, "@id must be"),
        (f'@id("{"a" * 65}") ' + GOOD, 1, "@id must be"),
        ('@reason("") ' + GOOD, 1, "@reason must be 1 to 256"),
        ('@approval("") forbid(principal, action, resource);', 1, "@approval must be"),
        ('@approval("dba") ' + GOOD, 1, "@approval stands on a forbid"),
        ('permit(principal, action, resource in Object::"orders");', 1, "an object is written target/name"),
        ('permit(principal, action, resource in Object::"orders/");', 1, "can never match: not a name"),
        ('permit(principal, action, resource) when { resource in Object::"orders/public..x" };', 1, "can never match"),
        ('permit(principal, action, resource in Object::"orders/\\"public\\".x");', 1, "quoted without need"),
        ("permit(principal, action, resource) when { " + "!" * 5 + "true };", 1, "not a Cedar policy"),
        (
            "permit(principal, action, resource) when { " + " && ".join(["context.has_where"] * 150) + " };",
            1,
            "not a Cedar",
        ),
        *[
            ("permit(principal, action, resource) when { " + nested + " };", 1, "nested deeper than 48 brackets")
            for nested in (
                "(" * 3000 + "true" + ")" * 3000,
                "[" * 3000 + "]" * 3000,
                "+".join(["1"] * 3000),
                "if true then true else " * 3000 + "true",
                "context" + ".a" * 3000,
                "context has a" + ".a" * 3000,
            )
        ],
    ],
)
def test_problems(under: Write, text: str, line: int, sentence: str) -> None:
    """Each problem is a sentence at file:line."""
    with pytest.raises(PolicyError, match=rf"0\.cedar:{line}: .*{sentence}") as caught:
        under(text)
    assert [p.line for p in caught.value.problems] == [line]


def test_a_long_list_is_not_deep(under: Write) -> None:
    """The bound on nesting does not count what lies side by side, or in a string."""
    groups = ", ".join(f'Group::"((((.....{index}"' for index in range(1000))
    assert len(under(f"permit(principal, action, resource) when {{ principal in [{groups}] }};").rules.rules) == 1


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every bad policy of every file is reported, by `check` as by loading."""
    put(
        tmp_path,
        "permit(;\n" + GOOD + "\nforbid(;",
        GOOD,
        "\n\npermit(principal, action, resource) when { context.x };",
    )
    problems = check(tmp_path)
    assert [(Path(p.file).name, p.line) for p in problems] == [("0.cedar", 1), ("0.cedar", 3), ("2.cedar", 3)]
    assert str(problems[0]).startswith(f"{tmp_path}/0.cedar:1: not a Cedar policy")
    assert [p.line for p in check(tmp_path / "0.cedar")] == [1, 3]
    assert check(tmp_path / "1.cedar") == ()


def test_check_knows_the_approval_groups(tmp_path: Path) -> None:
    """An `@approval` by a group that the configuration lacks could never be lifted."""
    put(tmp_path, GOOD + '\n@approval("dab") forbid(principal, action, resource);')
    assert check(tmp_path) == ()
    assert check(tmp_path, frozenset({"dab"})) == ()
    (problem,) = check(tmp_path, frozenset({"dba"}))
    assert (problem.line, problem.message) == (2, '@approval("dab"): no such group under `approvals`')


def test_names(under: Write) -> None:
    """`@id`, or file:index; and the groups that approve."""
    policy = under(
        GOOD + '@id("second;") permit(principal, action, resource); // ;\n' + GOOD,
        '@approval("x") forbid(principal, action, resource);',
    )
    assert list(policy.rules.rules) == ["0.cedar:1", "second;", "0.cedar:3", "1.cedar:1"]
    assert policy.approval_groups == {"x"}


def test_split_keeps_strings_and_comments() -> None:
    """A semicolon ends a policy, not a string, not a comment; a line is where the policy begins."""
    text = '// x;\n@a(";\\";//") permit /* no comment */ (a) ; // tail;\n\nforbid // c;\n(b);rest "'
    assert [(line, chunk[:6], chunk[-1]) for line, chunk in loading.split(text)] == [
        (2, '@a(";\\', ";"),
        (4, "forbid", ";"),
        (5, 'rest "', '"'),
    ]


def test_bounds(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, their size and the number of policies are bounded; what is no policy directory is no policy."""
    for setting, texts, sentence in [
        ("MAX_FILES", [GOOD, GOOD], "more than 1 files"),
        ("MAX_FILE_BYTES", ["// x"], "larger than 1 bytes"),
        ("MAX_RULES", [GOOD * 2], "more than 1 policies"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(loading, setting, 1)
            put(tmp_path, *texts)
            with pytest.raises(PolicyError, match=sentence):
                CedarPolicy(tmp_path, clock)
    put(tmp_path)
    (tmp_path / ".hidden.cedar").write_text(GOOD)
    with pytest.raises(PolicyError, match=r"no \*\.cedar file in it"):
        CedarPolicy(tmp_path, clock)
    with pytest.raises(PolicyError, match=r"nowhere: can't be read: No such file"):
        CedarPolicy(tmp_path / "nowhere", clock)
    (tmp_path / "a.cedar").write_bytes(b"// x\n// \xff")
    with pytest.raises(PolicyError, match=r"a\.cedar:2: not UTF-8 text"):
        CedarPolicy(tmp_path, clock)


def test_reload(under: Write, tmp_path: Path) -> None:
    """A session follows a reload at once; a bad file leaves everything as it was, version included."""
    policy = under(GOOD)
    rights = policy.rights(who("g"), TARGET, SOURCE)
    action = does("read public.a")
    assert (rights.decide(action).verdict, rights.decide(action).version) == (Verdict.ALLOW, 1)
    put(tmp_path, GOOD, "permit(principal, nonsense);")
    with pytest.raises(PolicyError, match=r"1\.cedar:1"):
        policy.reload()
    assert (policy.version, rights.decide(action).verdict) == (1, Verdict.ALLOW)
    assert decide(policy, does("read public.b")).verdict is Verdict.ALLOW
    put(tmp_path, 'forbid(principal, action, resource); permit(principal, action == Action::"unmask", resource);')
    assert not rights.may_unmask("pii")
    assert policy.reload() == policy.version == 2
    assert (rights.decide(action).verdict, rights.decide(action).version) == (Verdict.DENY, 2)
    assert policy.authorize_connect(who("g"), TARGET, SOURCE).verdict is Verdict.DENY
    put(tmp_path, GOOD + 'permit(principal, action == Action::"unmask", resource);')
    assert policy.reload() == 3
    assert rights.may_unmask("pii")
    assert rights.decide(action).verdict is Verdict.ALLOW
