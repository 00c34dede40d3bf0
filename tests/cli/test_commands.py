"""What each command prints, where, and with which exit code."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from ostiary.cli import output
from ostiary.credentials import SecretUnavailable
from ostiary.recording import KeyProblem
from ostiary.store import StoreError
from tests.cli.kit import CODE, Desk, token

EXPLAIN = ("policy", "explain", "--target", "orders", "--principal", "ci:job", "--group", "app")


# ---------------------------------------------------------------- wrong usage and wrong files


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["sessions"],
        ["sessions", "show"],
        ["sessions", "list", "-o", "xml"],
        ["sessions", "list", "--limit", "0"],
        ["sessions", "replay", "5f2c", "--speed", "-1"],
        ["approvals", "approve"],
        ["policy", "explain"],
        ["policy", "explain", "--target", "orders", "--principal", "a:b", "--operation", "fly"],
        [],
    ],
)
def test_wrong_usage(desk: Desk, arguments: list[str]) -> None:
    """Exit code 2, with the usage."""
    done = desk.run(*arguments, bare=True)
    assert done.code == 2
    assert "Usage: ostiary" in done.out + done.err


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["check"],
        ["targets", "list"],
        ["sessions", "list"],
        ["sessions", "show", "x"],
        ["approvals", "list"],
        ["approvals", "show", "x"],
        ["audit", "verify"],
        ["policy", "check"],
    ],
)
def test_without_a_configuration(
    desk: Desk, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Missing: what to do. Wrong: each problem on a line of its own, then the sum. Exit code 2."""
    monkeypatch.chdir(tmp_path)
    done = desk.run(*command, bare=True)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: ostiary.yaml does not exist\nnext:  name a configuration with -c, or make one with `ostiary init DIR`\n"
    )
    desk.config.write_text("server: {}\npolicies: 1\nissuers: []\ntargets: []\n")
    wrong = desk.run(*command)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.splitlines()[0] == f"{desk.config}:1: server: listen is missing"
    assert wrong.err.endswith("next:  mend the 3 lines named above\n")


def test_the_configuration_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-c`, the variable, the working directory."""
    monkeypatch.chdir(desk.home)
    assert desk.run("targets", "list", bare=True).code == 0
    monkeypatch.chdir("/")
    assert desk.run("targets", "list", bare=True, env={"OSTIARY_CONFIG": str(desk.config)}).code == 0
    assert desk.run("targets", "list", bare=True).code == 2


# ---------------------------------------------------------------- the commands of no group


def test_version_and_schema(desk: Desk) -> None:
    """They need no configuration."""
    assert desk.run("--version", bare=True).out == "1.2.3\n"
    assert desk.run("schema", bare=True).json["title"] == "Ostiary configuration"
    assert "\ntitle: Ostiary configuration\n" in desk.run("schema", "-o", "yaml", bare=True).out


def test_check(desk: Desk) -> None:
    """Fine, or what is wrong."""
    fine = desk.run("check")
    assert (fine.code, fine.out, fine.err) == (0, f"{desk.config}: fine\n", "")
    (desk.home / "policies" / "all.cedar").write_text("permit (x);")
    wrong = desk.run("check")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith(f"{desk.home}/policies/all.cedar:1: not a Cedar policy")


def test_checks_for_programs(desk: Desk) -> None:
    """A list of sentences, empty when all is fine; the exit code is the same, and nothing is said twice."""
    for command in (["check"], ["policy", "check"]):
        fine = desk.run(*command, "-o", "json")
        assert (fine.code, fine.json, fine.err) == (0, [], "")
    (desk.home / "policies" / "all.cedar").write_text("permit (x);")
    for command in (["check"], ["policy", "check"]):
        wrong = desk.run(*command, "-o", "json")
        (sentence,) = wrong.json
        assert sentence.startswith(f"{desk.home}/policies/all.cedar:1: not a Cedar policy")
        assert (wrong.code, wrong.err) == (2, "")
        assert desk.run(*command, "-o", "yaml").out.startswith("- ")


def test_init(desk: Desk, tmp_path: Path) -> None:
    """Makes two files, all or none, and overwrites nothing."""
    place = tmp_path / "new" / "place"
    made = desk.run("init", str(place), bare=True)
    assert (made.code, made.out) == (0, f"made {place}/ostiary.yaml\nmade {place}/policies/start.cedar\n")
    assert made.err == f"next:  edit {place}/ostiary.yaml, then `ostiary check -c {place}/ostiary.yaml`\n"
    listed = desk.run("init", str(tmp_path / "other"), "-o", "json", bare=True)
    assert (listed.json[0], listed.err) == (f"{tmp_path}/other/ostiary.yaml", "")
    (place / "ostiary.yaml").unlink()
    again = desk.run("init", str(place), bare=True)
    assert again.code == 1
    assert again.err.startswith(f"error: {place}/policies/start.cedar: is there already\n")
    assert not (place / "ostiary.yaml").exists()
    (tmp_path / "file").touch()
    assert desk.run("init", str(tmp_path / "file"), bare=True).code == 1


def test_serve(desk: Desk) -> None:
    """Serves what `check` finds nothing wrong with."""
    assert desk.run("serve").code == 0
    assert desk.served == [(desk.config, 1, 0)]
    (desk.home / "policies" / "all.cedar").unlink()
    assert desk.run("serve").code == 2
    # Whoever begins a worker has checked.
    assert desk.run("serve", "--worker", "2").code == 0
    assert desk.served.pop() == (desk.config, 1, 2)
    assert desk.served == [(desk.config, 1, 0)]


@pytest.mark.parametrize(("workers", "code"), [("0", 2), ("1", 0), ("64", 0), ("65", 2)])
def test_serve_workers(desk: Desk, workers: str, code: int) -> None:
    """From 1 to 64."""
    done = desk.run("serve", "--workers", workers)
    assert (done.code, desk.served) == (code, [] if code else [(desk.config, int(workers), 0)])
    assert ("--workers" in done.err and "equal to" in done.err) is (code == 2)


@pytest.mark.parametrize(
    "error",
    [
        OSError("127.0.0.1:1 can't be listened on: why"),
        StoreError("the state store failed (why)"),
        KeyProblem("recording.key: why"),
        SecretUnavailable("X is not set, why"),
        ValueError("why"),
    ],
)
def test_serve_fails_in_a_sentence(desk: Desk, error: Exception) -> None:
    """The room's own; exit code 1."""
    desk.serve_error = error
    done = desk.run("serve")
    assert (done.code, done.err) == (1, f"error: {error}\n")


def test_a_bug_is_not_dressed_up(desk: Desk) -> None:
    """What no room raises goes through: `main` says where it happened."""
    desk.serve_error = KeyError("canary")
    with pytest.raises(KeyError):
        desk.run("serve")


def test_demo(desk: Desk) -> None:
    """Its options and its exit code go through; what it needs is said when it is not installed."""
    assert desk.run("demo", bare=True).code == 0
    assert desk.run("demo", "--once", "--json", bare=True).code == 3

    def missing(once: bool, as_json: bool) -> int:
        del once, as_json
        raise RuntimeError("the demo needs psycopg")

    desk.demo = missing
    done = desk.run("demo", bare=True)
    assert (done.code, done.err.splitlines()[0]) == (1, "error: the demo needs psycopg")


def test_targets(desk: Desk) -> None:
    """Everything but secrets."""
    assert desk.run("targets", "list").out.split() == [
        *("NAME", "PROTOCOL", "ADDRESS", "DATABASE", "TLS", "CREDENTIAL"),
        *("orders", "postgres", "db.internal:5432", "orders", "disable", "static"),
    ]
    (target,) = desk.run("targets", "list", "-o", "json").json
    assert (target["name"], target["credential"]) == ("orders", "static")


# ---------------------------------------------------------------- sessions, audit


def test_nothing_was_recorded(desk: Desk) -> None:
    """An empty list is no error, and JSON of it is an empty list."""
    done = desk.run("sessions", "list")
    assert (done.code, done.out, done.err) == (0, "", "no session was recorded\n")
    assert desk.run("sessions", "list", "-o", "json").json == []
    assert desk.run("sessions", "show", "5f2c").code == 4
    assert desk.run("audit", "verify").code == 1


def test_sessions(desk: Desk) -> None:
    """Listed, filtered, shown by the beginning of an id; ambiguity and absence are exit code 4."""
    desk.record("5f2c0001", "quiet")
    desk.record("5f2c0002", "quiet")
    assert [s["session_id"] for s in desk.run("sessions", "list", "-o", "json").json] == ["5f2c0002", "5f2c0001"]
    assert len(desk.run("sessions", "list", "--limit", "1", "-o", "json").json) == 1
    assert desk.run("sessions", "list", "--target", "other", "-o", "json").json == []
    assert len(desk.run("sessions", "list", "--refused", "--principal", "quiet", "-o", "json").json) == 2
    shown = desk.run("sessions", "show", "5f2c0001")
    assert shown.out.startswith("5f2c0001  sealed\n")
    assert "  given back  quiet\n" in shown.out
    kinds = [moment["kind"] for moment in desk.run("sessions", "replay", "5f2c0001", "-o", "json").json]
    assert kinds == [*("started", "lease", "statement", "rows", "diagnostic", "finished", "held", "refused", "ended")]
    many = desk.run("sessions", "show", "5f2c")
    assert (many.code, many.err.splitlines()[1]) == (4, "next:  give more of the id")
    none = desk.run("sessions", "replay", "ffff")
    assert none.code == 4
    assert none.err == "error: no recording of a session ffff\nnext:  `ostiary sessions list` shows the ids\n"


def test_audit(desk: Desk, tmp_path: Path) -> None:
    """Intact; without a seal, which is said; tampered, which is exit code 5; and by whose key."""
    desk.record("5f2c0001", "quiet")
    fine = desk.run("audit", "verify")
    assert (fine.code, fine.err) == (0, "")
    assert fine.out == f"2 files: 2 intact; believed: {desk.home}/recording.key\n"
    other = desk.record("5f2c0002", "quiet", sealed=False)
    open_ended = desk.run("audit", "verify")
    assert (open_ended.code, "1 unsealed" in open_ended.out) == (0, True)
    other.write_bytes(other.read_bytes().replace(b"quiet", b"loud!", 1))
    assert desk.run("audit", "verify").code == 5
    states = {
        verdict["name"]: verdict["state"]
        for verdict in desk.run(
            "audit",
            "verify",
            "-o",
            "json",
        ).json
    }
    assert (states["5f2c0001"], states["5f2c0002"]) == ("intact", "tampered")
    beside = desk.run("audit", "verify", "--key", str(desk.home / "recordings" / "recording.pub"))
    assert f"believed: {desk.home}/recordings/recording.pub" in beside.out
    assert desk.run("audit", "verify", "--key", str(tmp_path / "none")).code == 1


def test_whoever_may_not_read_the_key_is_told_what_is_believed(desk: Desk) -> None:
    """The key beside the recordings, by name."""
    desk.record("5f2c0001", "quiet")
    (desk.home / "recording.key").unlink()
    done = desk.run("audit", "verify")
    assert (done.code, done.out.rpartition("believed: ")[2]) == (0, f"{desk.home}/recordings/recording.pub\n")


# ---------------------------------------------------------------- approvals


def test_before_the_gateway_started(desk: Desk) -> None:
    """There is no state store: said, and none is made, which would then belong to whoever asked."""
    done = desk.run("approvals", "list")
    assert done.code == 1
    assert f"{desk.home}/state.db is not there: the gateway makes it when it first starts" in done.err
    assert not (desk.home / "state.db").exists()


def test_nothing_waits(desk: Desk) -> None:
    """An empty list is no error."""
    desk.start_state()
    done = desk.run("approvals", "list")
    assert (done.code, done.out, done.err) == (0, "", "nothing waits for approval\n")
    assert desk.run("approvals", "list", "-o", "json").json == []


def test_approve(desk: Desk) -> None:
    """By a member, once; the code as people type it."""
    desk.ask(text="quiet")
    assert f"{CODE}  ci:job" in desk.run("approvals", "list").out
    shown = desk.run("approvals", "show", "7k2p-7k2p").out
    assert "  rows      about 12,345\n" in shown
    assert "    DELETE FROM orders\n    quiet\n    $1 = quiet\n    $2 = NULL\n" in shown
    done = desk.run("approvals", "approve", "7k2p 7k2p", env=token("t-dana"))
    assert (done.code, done.out, done.err) == (0, f"request {CODE}: approved\n", "")
    assert desk.run("approvals", "show", CODE, "-o", "json").json["state"] == "approved"
    again = desk.run("approvals", "deny", CODE, env=token("t-dana"))
    assert (again.code, "was approved by ci:dana" in again.err) == (3, True)


def test_deny(desk: Desk) -> None:
    """With a reason for the requester."""
    desk.ask(text="quiet")
    done = desk.run("approvals", "deny", CODE, "--reason", "not today", "-o", "json", env=token("t-dana"))
    assert (done.code, done.json["state"], done.json["votes"][0]["reason"]) == (0, "denied", "not today")


def test_one_of_two(desk: Desk) -> None:
    """Counted, and what is still needed."""
    desk.ask(text="quiet", group="two")
    done = desk.run("approvals", "approve", CODE, env=token("t-dana"))
    assert (done.code, done.out) == (0, f"request {CODE}: counted; it still needs two\n")


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("t-eve", 3, "ci:eve is not a member of dba"),
        ("t-job", 3, "is your own, and nobody decides their own"),
        ("canary", 3, "token refused: it is not known"),
        ("", 2, "no token to do it with"),
    ],
)
def test_who_may_not(desk: Desk, name: str, code: int, sentence: str) -> None:
    """The thing, the reason, the next step; the request waits on, and the token is not repeated."""
    desk.ask(text="quiet")
    done = desk.run("approvals", "approve", CODE, env=token(name) if name else None)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err
    assert "next:" in done.err
    assert "canary" not in done.err
    assert desk.run("approvals", "show", CODE, "-o", "json").json["state"] == "pending"


def test_unknown_request(desk: Desk) -> None:
    """Exit code 4."""
    desk.start_state()
    assert desk.run("approvals", "show", "0000").code == 4
    assert desk.run("approvals", "approve", "0000", env=token("t-dana")).code == 4


def test_a_token_from_a_file(desk: Desk, tmp_path: Path) -> None:
    """With or without its last newline; a file that can't be read is a sentence."""
    desk.ask(text="quiet")
    path = tmp_path / "token"
    missing = desk.run("approvals", "approve", CODE, "--token-file", str(path))
    assert (missing.code, missing.err.splitlines()[0]) == (2, f"error: {path}: No such file or directory")
    assert desk.run("approvals", "approve", CODE, "--token-file", str(tmp_path)).code == 2
    path.write_text("t-dana\n")
    assert desk.run("approvals", "approve", CODE, "--token-file", str(path)).code == 0


# ---------------------------------------------------------------- policy


def test_policy_check(desk: Desk, tmp_path: Path) -> None:
    """Those of the configuration, or any; exit code 2 with each problem's place."""
    assert desk.run("policy", "check").out == "policies are fine\n"
    other = tmp_path / "other.cedar"
    other.write_text('@id("a")\n@approval("nobody")\nforbid (principal, action, resource);\n')
    done = desk.run("policy", "check", str(other))
    assert done.code == 2
    assert done.err.startswith(f'{other}:1: @approval("nobody"): no such group under `approvals`\n')


def test_explain(desk: Desk) -> None:
    """Allow is 0; hold and deny are 3. The rule is named with its place."""
    allowed = desk.run(*EXPLAIN, "--sql", "SELECT 1 FROM public.orders")
    assert (allowed.code, allowed.out.split()[0]) == (0, "allow")
    held = desk.run(*EXPLAIN, "--sql", "DROP TABLE public.orders")
    assert (held.code, held.out.split()[0]) == (3, "hold")
    assert f"forbid asks  {desk.home}/policies/all.cedar:2  (decides, lifted by dba)" in held.out
    denied = desk.run(*EXPLAIN[:-2], "--operation", "read", "--object", "public.orders")
    assert denied.code == 3
    assert denied.out == (
        "deny  no policy permits read on orders/public.orders\n"
        "  deny  read orders/public.orders\n"
        "        no policy permits read on orders/public.orders\n"
    )
    as_json = desk.run(*EXPLAIN, "--sql", "DROP TABLE public.orders", "-o", "json")
    assert (as_json.code, as_json.json["verdict"], as_json.json["approval_groups"]) == (3, "hold", ["dba"])


def test_explain_by_the_estimate(desk: Desk) -> None:
    """Without one, what depends on it says so, and which rule it is; exit code 3."""
    condition = "context has rows_estimate && context.rows_estimate > 9"
    rule = f'@id("large")\nforbid (principal, action, resource)\nwhen {{ {condition} }};\n'
    (desk.home / "policies" / "large.cedar").write_text(rule)
    delete = (*EXPLAIN, "--sql", "DELETE FROM public.orders WHERE id = 1")
    unknown = desk.run(*delete)
    assert (unknown.code, unknown.out.split()[0]) == (3, "weigh")
    assert f"forbid large  {desk.home}/policies/large.cedar:1  (decides)" in unknown.out
    for rows, code, verdict in (("9", 0, "allow"), ("10", 3, "deny")):
        told = desk.run(*delete, "--rows", rows, "-o", "json")
        assert (told.code, told.json["verdict"]) == (code, verdict)
    one = desk.run(*EXPLAIN, "--operation", "delete", "--object", "public.orders", "--rows", "9")
    assert (one.code, one.out.split()[0]) == (0, "allow")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--target", "nope", "--principal", "a:b", "--sql", "x"], 4, 'no target "nope"'),
        (["--target", "orders", "--principal", "ab", "--sql", "x"], 2, '"ab" is no principal'),
        (["--target", "orders", "--principal", "a:b", "--sql", "SELEC"], 2, "syntax error"),
        (["--target", "orders", "--principal", "a:b"], 2, "say what to explain"),
        (["--target", "orders", "--principal", "a:b", "--sql", "x", "--operation", "read"], 2, "say what to explain"),
    ],
)
def test_explain_what_can_not_be(desk: Desk, arguments: list[str], code: int, sentence: str) -> None:
    """The right exit code, and what to give instead."""
    done = desk.run("policy", "explain", *arguments)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err


def test_explain_with_broken_policies(desk: Desk) -> None:
    """Exit code 2, with the place."""
    (desk.home / "policies" / "all.cedar").write_text("permit (x);")
    done = desk.run(*EXPLAIN, "--sql", "SELECT 1")
    assert done.code == 2
    assert done.err.startswith(f"{desk.home}/policies/all.cedar:1: not a Cedar policy")


# ---------------------------------------------------------------- how it looks


def test_a_narrow_terminal_drops_what_matters_least(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids stay whole; `-o json` has everything."""
    desk.record("5f2c000011112222", "github:repo:acme/shop:ref:refs/heads/main")
    heads = {}
    for width in (60, 80, 200):
        monkeypatch.setattr(output.out, "width", width)
        lines = desk.run("sessions", "list").out.splitlines()
        assert any("5f2c000011112222" in line for line in lines)
        heads[width] = lines[0].split()
    assert "END" in heads[200]
    assert "END" not in heads[80]
    assert "PRINCIPAL" in heads[80]
    assert heads[60] == ["SESSION", "STARTED", "(UTC)", "PRINCIPAL"]


def test_a_column_with_nothing_in_it_goes_first() -> None:
    """Before one that matters little; where there is room for it, it stays."""
    for width, heads in ((30, ["WHAT", "LITTLE"]), (80, ["WHAT", "NOTHING", "LITTLE"])):
        console = Console(file=io.StringIO(), width=width)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(output, "out", console)
            output.table(("WHAT", "NOTHING", "LITTLE"), [("w" * 10, None, "l" * 12)], "", dropped=("LITTLE",))
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue().splitlines()[0].split() == heads


def test_rows_wider_than_the_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay shows them a column a line, whole, as psql does with its automatic expanded display."""
    text = "a rather long value of fifty characters, all of it"
    desk.record("5f2c0001", text)
    assert "-[ row 1 ]-" not in desk.run("sessions", "replay", "5f2c").out
    monkeypatch.setattr(output.out, "width", 40)
    lines = desk.run("sessions", "replay", "5f2c").out.splitlines()
    assert " -[ row 1 ]-" in lines
    assert f" {text}  {text}" in lines


def test_no_permission(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, the reason, and as whom to run it."""
    desk.record("5f2c0001", "quiet")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13), "/var/lib/ostiary/recordings")

    monkeypatch.setattr("ostiary.control.operations.sessions", refuse)
    done = desk.run("sessions", "list")
    assert (done.code, done.err) == (
        1,
        "error: /var/lib/ostiary/recordings: Permission denied\nnext:  run it as the gateway's user\n",
    )


def test_a_state_store_of_somebody_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said as such."""
    desk.start_state()

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError(1, os.strerror(1), str(self))

    monkeypatch.setattr(Path, "chmod", refuse)
    done = desk.run("approvals", "list")
    assert done.code == 1
    assert done.err == (
        f"error: the state store {desk.home}/state.db belongs to another user: run this as the gateway's own\n"
    )


def test_a_configuration_out_of_reach(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that can't be entered is no bug of ours."""

    def refuse(self: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, os.strerror(13), str(self))

    monkeypatch.setattr(Path, "stat", refuse)
    done = desk.run("sessions", "list", "-c", "/proc/1/root/x/ostiary.yaml", bare=True)
    assert done.code == 2
    assert done.err.startswith("/proc/1/root/x/ostiary.yaml: can't be read: ")


def test_every_command_speaks_to_programs(desk: Desk) -> None:
    """`-o json` and `-o yaml`, but for two that run until they are stopped, and what runs another program."""
    silent, seen = set(), 0
    groups = [get_group(desk.app)]
    while groups:
        for name, command in groups.pop().commands.items():
            if isinstance(command, TyperGroup):
                groups.append(command)
                continue
            seen += 1
            if not any("-o" in option.opts for option in command.params):
                silent.add(name)
    assert silent == {"serve", "demo", "exec"}
    assert seen > len(silent)


def test_short_help(desk: Desk) -> None:
    """`-h`, of the program and of a command."""
    assert "Usage: ostiary [OPTIONS]" in desk.run("-h", bare=True).out
    assert "Usage: ostiary sessions list" in desk.run("sessions", "list", "-h", bare=True).out
