"""`ostiary apply`: reading files, showing what changes, asking, and how it ends."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ostiary.cli import reach
from ostiary.client.api import ApiFailed
from tests.cli.kit import FORBIDDEN, HOSTILE, Desk, Done

CHANGES: list[dict[str, Any]] = [
    {
        "kind": "target",
        "name": "reports",
        "change": "create",
        "place": None,
        "differences": [{"field": "address", "before": None, "after": "db:5432"}],
    },
    {
        "kind": "masking",
        "name": "pii.phone",
        "change": "change",
        "place": None,
        "differences": [{"field": "transform", "before": "redact", "after": "partial"}],
    },
    {"kind": "issuer", "name": "old", "change": "delete", "place": None, "differences": []},
    {"kind": "masking", "name": "same", "change": "unchanged", "place": None, "differences": []},
]


class Gateway:
    """An API that answers with what it is told to."""

    def __init__(self, changes: list[dict[str, Any]]) -> None:
        self.posted: list[dict[str, Any]] = []
        self.changes = changes
        self.fails: ApiFailed | None = None

    def __call__(self, *_: object) -> "Gateway":
        return self

    def post(self, path: str, body: dict[str, Any], *, key: str, seconds: float) -> dict[str, Any]:
        """As the API's client does."""
        assert (path, bool(key), seconds > 30) == ("/apply", not body.get("dry_run"), True)
        self.posted.append(body)
        if self.fails is not None:
            raise self.fails
        dry = body.get("dry_run", False)
        changed = any(each["change"] != "unchanged" for each in self.changes)
        in_force = "not" if dry else "now"
        return {"revision": 8, "changed": changed, "dry_run": dry, "in_force": in_force, "changes": self.changes}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """In place of the API's client."""
    found = Gateway(CHANGES)
    monkeypatch.setattr(reach, "Api", found)
    return found


def write(directory: Path, files: dict[str, str]) -> Path:
    """Files to apply."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def apply(desk: Desk, files: Path, *arguments: str) -> Done:
    """The command."""
    typed = ("apply", "-f", str(files), "--api", "https://127.0.0.1:1", *arguments)
    return desk.run(*typed, bare=True, env={"OSTIARY_TOKEN": "t"})


ONE = '@id("one") permit (principal, action, resource);'
TWO = '@id("two")\nforbid (principal, action, resource);'
FILES = {
    "a.yaml": "targets:\n  - {name: reports, protocol: postgres, address: 'db:5432'}\n",
    "b.yml": "masking:\n  pii.phone: {transform: partial}\nserver: {listen: {}}\n",
    "policies/x.cedar": f"// why\n{ONE}\n{TWO}",
    ".hidden.yaml": "nonsense: 1",
    "notes.txt": "nonsense: 1",
}


def test_what_is_shown_asked_and_sent(desk: Desk, gateway: Gateway, tmp_path: Path) -> None:
    """First a dry run, then the change, against the revision that was shown."""
    done = apply(desk, write(tmp_path / "d", FILES), "--yes", "--prune")
    assert done.code == 0
    assert done.out.splitlines() == [
        "+ target reports",
        '    address: "db:5432"',
        "~ masking pii.phone",
        '    transform: "redact" → "partial"',
        "- issuer old",
        "  1 unchanged",
        "applied as revision 8, in force now",
    ]
    assert done.err == f"note:  {tmp_path}/d/b.yml:3: server is the gateway's own and left out\n"
    first, second = gateway.posted
    assert first["resources"] == [
        {"kind": "target", "name": "reports", "document": {"protocol": "postgres", "address": "db:5432"}},
        {"kind": "masking", "name": "pii.phone", "document": {"transform": "partial"}},
        {"kind": "policy", "name": "one", "document": {"text": ONE}},
        {"kind": "policy", "name": "two", "document": {"text": TWO}},
    ]
    assert (first["dry_run"], first["prune"]) == (True, True)
    assert second == {"resources": first["resources"], "prune": True, "revision": 8}


def test_a_dry_run_tells_by_its_exit_code(desk: Desk, gateway: Gateway, tmp_path: Path) -> None:
    """6 when something would change, 0 when nothing; nothing is sent after it."""
    files = write(tmp_path / "d", FILES)
    assert apply(desk, files, "--dry-run").code == 6
    shown = apply(desk, files, "--dry-run", "-o", "json")
    assert (shown.code, json.loads(shown.out)["changes"]) == (6, CHANGES)
    gateway.changes = CHANGES[3:]
    same = apply(desk, files, "--dry-run")
    assert (same.code, same.out) == (0, "  1 unchanged\nnothing to change\n")
    assert apply(desk, files).code == 0
    assert all(each["dry_run"] for each in gateway.posted)


def test_nobody_to_ask(desk: Desk, gateway: Gateway, tmp_path: Path) -> None:
    """Without a terminal it takes --yes; nothing is changed."""
    done = apply(desk, write(tmp_path / "d", FILES))
    assert done.code == 2
    assert "error: there is nobody here to ask\n" in done.err
    assert len(gateway.posted) == 1


def test_problems_are_shown_with_their_line(desk: Desk, gateway: Gateway, tmp_path: Path) -> None:
    """The API names the resource; the files know its line."""
    gateway.fails = ApiFailed("it would not load", "mend it", 422, "not-loadable", errors=('target "reports": x: y',))
    done = apply(desk, write(tmp_path / "d", FILES), "--yes")
    assert done.code == 2
    assert f'{tmp_path}/d/a.yaml:2: target "reports": x: y\nerror: it would not load\n' in done.err
    gateway.fails = ApiFailed("it has changed", "look again", 412, "changed")
    assert apply(desk, write(tmp_path / "d", FILES), "--yes").code == 3


def test_hostile_names_are_made_printable(desk: Desk, gateway: Gateway, tmp_path: Path) -> None:
    """Whatever the gateway answers."""
    gateway.changes = [
        {
            "kind": "masking",
            "name": HOSTILE,
            "change": "change",
            "place": None,
            "differences": [{"field": HOSTILE, "before": HOSTILE, "after": [HOSTILE]}],
        }
    ]
    done = apply(desk, write(tmp_path / "d", FILES), "--yes")
    assert done.code == 0
    assert not any(bad in done.out for bad in FORBIDDEN)


#: Six lines of aliases that stand for half a million values.
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdef")
)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.yaml": "targts: []"}, "a.yaml:1: targts: no such section; did you mean `targets`?"),
        ({"a.yaml": "targets: {}"}, "a.yaml:1: targets: must be a list"),
        ({"a.yaml": "targets:\n  - {protocol: x}"}, "a.yaml:2: targets.0: needs name, as text"),
        ({"a.yaml": "targets:\n  - {name: 1}"}, "a.yaml:2: targets.0: needs name, as text"),
        ({"a.yaml": "targets: [{name: a}, {name: a}]"}, "another of the targets has the same name"),
        ({"a.yaml": "classification: [{target: a}]"}, "classification.0: needs target and object, as text"),
        ({"a.yaml": "masking: []"}, "masking: must be a mapping"),
        ({"a.yaml": "masking: {x: 1}"}, "masking.x: must be a mapping under a name"),
        ({"a.yaml": "masking: {x: {since: 2020-01-01}}"}, "put dates in quotes"),
        ({"a.yaml": "[]"}, "must be a mapping of sections"),
        ({"a.yaml": "policies: 1"}, "policies: must be the path of a directory"),
        ({"a.yaml": "policies: nowhere"}, "can't be read: No such file"),
        ({"a.yaml": "masking: {x: {}}", "b.yaml": "masking: {x: {}}"}, 'masking "x" is declared at'),
        ({"policies/x.cedar": "permit (principal, action, resource);"}, "a rule is known by its @id"),
        ({"policies/x.cedar": "nonsense"}, "not a Cedar policy"),
        ({"x.txt": ""}, "no *.yaml file in it"),
        ({"a.yaml": BOMB}, "more than 100000 values"),
        ({"a.yaml": "[" * 500 + "]" * 500}, "nested too deep"),
        ({"a.yaml": "x" * (5 << 20)}, "larger than"),
    ],
)
def test_files_that_cannot_be_applied(
    desk: Desk, gateway: Gateway, tmp_path: Path, files: dict[str, str], says: str
) -> None:
    """Each with file and line, before anybody is asked."""
    done = apply(desk, write(tmp_path / "d", files), "--yes")
    assert done.code == 2
    assert says in done.err
    assert gateway.posted == []


def test_a_whole_configuration_is_its_pieces(desk: Desk, gateway: Gateway) -> None:
    """The file of `serve -c`, with the policies it names."""
    assert apply(desk, desk.config, "--yes").code == 0
    kinds = [(each["kind"], each["name"]) for each in gateway.posted[0]["resources"]]
    assert kinds == [
        ("target", "orders"),
        ("issuer", "ci"),
        ("approval-group", "dba"),
        ("approval-group", "two"),
        ("policy", "works"),
        ("policy", "asks"),
    ]


def test_on_the_gateways_host_no_gateway_needs_to_run(desk: Desk, tmp_path: Path) -> None:
    """With `-c` it is made in the state store: also to take away what keeps a gateway from starting."""
    desk.start_state()
    files = write(tmp_path / "d", {"a.yaml": "masking: {x: {transform: keep}, y: {transform: redact}}"})
    done = desk.run("apply", "-f", str(files), "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "applied as revision 1, in force within 5 s")
    assert desk.run("apply", "-f", str(files), "--dry-run", "-o", "json").json["changed"] is False
    write(tmp_path / "d", {"a.yaml": "masking: {x: {transform: spin}}"})
    bad = desk.run("apply", "-f", str(files), "--yes")
    assert (bad.code, bad.err.splitlines()[0].startswith(f'{files}/a.yaml:1: masking "x": transform: ')) == (2, True)
    # The configuration's file takes a name over, and would not load with what is stored.
    desk.config.write_text(desk.config.read_text() + "masking: {x: {transform: keep}}\n")
    write(tmp_path / "d", {"a.yaml": "masking: {y: {transform: redact}}"})
    pruned = desk.run("apply", "-f", str(files), "--prune", "--yes", "-o", "json").json
    assert [(each["name"], each["change"]) for each in pruned["changes"]] == [("x", "delete"), ("y", "unchanged")]
    write(tmp_path / "d", {"a.yaml": "masking: {x: {transform: redact}}"})
    theirs = desk.run("apply", "-f", str(files), "--yes")
    assert (theirs.code, "read-only here" in theirs.err) == (3, True)
    assert desk.run("audit", "verify").code == 0
