"""Following and exporting recorded sessions, with the gateway's files and through its API."""

import csv
import io
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest

from ostiary.core import Secret
from tests.real.asking import asked, environment
from tests.real.servers import PostgresServer
from tests.real.serving import Served, running, until

DATABASE = "clisessions"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway."""
    with running(postgres15, tmp_path_factory.mktemp("clisessions") / "home", DATABASE) as served:
        yield served
    said = served.log.read_text()
    assert "Traceback" not in said
    assert not served.events("api: a request failed"), said


@pytest.fixture
def ops(served: Served) -> Secret:
    """Somebody who may audit."""
    return served.token("olga", "ops")


@pytest.fixture(scope="module")
def session(served: Served) -> str:
    """A session that is over: a masked read, a formula, a refusal."""
    with served.connect() as connection:
        connection.execute("SELECT email FROM people WHERE id = 1")
        connection.execute("SELECT '=1+1' AS \"=cmd\"")
        with pytest.raises(psycopg.Error):
            connection.execute("DELETE FROM people")
    return str(served.newest()["session_id"])


@contextmanager
def tailing(served: Served, way: str, token: Secret, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`sessions tail -o json` while it runs."""
    more = ["-c", str(served.config)] if way == "local" else []
    process = subprocess.Popen(
        [sys.executable, "-m", "ostiary", "sessions", "tail", *arguments, "-o", "json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(served, token),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("way", ["local", "api"])
def test_a_live_session_is_followed(served: Served, ops: Secret, way: str) -> None:
    """What happens comes while it happens, masked as it is recorded; the command ends with the session."""
    connection = served.connect()
    connection.execute("SELECT 'before'")
    live = served.live(ops)
    with tailing(served, way, ops, live["session_id"], "-n", "3") as process:
        assert process.stdout is not None
        # The end of a statement is written within a second of it.
        while json.loads(process.stdout.readline())["kind"] != "finished":
            pass
        connection.execute("SELECT email FROM people WHERE id = 1")
        seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [each["kind"] for each in seen] == ["statement", "rows", "finished"]
        assert seen[0]["text"] == "SELECT email FROM people WHERE id = 1"
        assert "person1@" not in json.dumps(seen)
        connection.close()
        assert json.loads(process.stdout.readline())["kind"] == "ended"
        assert process.wait(20) == 0
    until(lambda: served.roles() == [], "the role is gone")


def test_a_tail_ends_with_the_right_to_it(served: Served, ops: Secret) -> None:
    """Within seconds of the policy's change, and says why."""
    connection = served.connect()
    live = served.live(ops)
    before = (served.home / "policies" / "served.cedar").read_text()
    with tailing(served, "api", ops, live["session_id"], "-n", "1") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        served.policy(before.replace('Action::"administer", Action::"audit"]', 'Action::"administer"]'))
        try:
            _, said = process.communicate(timeout=20)
        finally:
            served.policy(before)
        assert process.returncode == 3
        assert "the gateway tells no more: denied: no policy permits audit on shop" in said
    connection.close()
    path = f"/api/v1/sessions/{live['session_id']}"
    until(lambda: served.api("GET", path, ops).status_code == 200, "the policy is back")


def test_who_may_not(served: Served, session: str) -> None:
    """Neither whoever may not audit, nor with an id that is none."""
    for command in ("tail", "export", "show", "replay"):
        done = asked(served, served.token(), "sessions", command, session, code=3)
        assert done.stderr.startswith("error: denied: no policy permits audit on shop")
        assert done.stdout == ""
    for name, code in (("../../etc/passwd", 4), ("..%2f..%2fetc", 2), (session[:6], 4), ("ffff", 4)):
        done = asked(served, served.token("olga", "ops"), "sessions", "export", name, code=code)
        assert done.stdout == ""


@pytest.mark.parametrize("way", ["local", "api"])
def test_an_export_is_verified_elsewhere(served: Served, ops: Secret, session: str, way: str, tmp_path: Path) -> None:
    """The very bytes of the recording, under its name; its public key says whether it was changed since."""
    if way == "local":
        done = served.cli("sessions", "export", session, "--to", str(tmp_path))
    else:
        done = asked(served, ops, "sessions", "export", session, "--to", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"1 session is in {tmp_path}\n")
    (written,) = tmp_path.glob("*.rec")
    (original,) = (served.home / "recordings").rglob(f"*-{session}.rec")
    assert written.read_bytes() == original.read_bytes()
    assert written.stat().st_mode & 0o777 == 0o600
    key = str(served.home / "recordings" / "recording.pub")
    fine = asked(served, None, "audit", "verify", str(written), "--key", key)
    assert fine.stdout == f"1 files: 1 intact; believed: {key}\n"
    written.write_bytes(written.read_bytes().replace(b"SELECT", b"SELEXT", 1))
    assert asked(served, None, "audit", "verify", str(written), "--key", key, code=5).stdout.startswith("tampered ")
    again = asked(served, ops, "sessions", "export", session, "--to", str(written), code=1)
    assert "File exists" in again.stderr


@pytest.mark.parametrize("form", ["json", "csv", "text", "asciicast"])
def test_both_ways_export_the_same(served: Served, ops: Secret, session: str, form: str) -> None:
    """Whoever reads the files and whoever asks the API gets the same document."""
    here = served.cli("sessions", "export", session, "-f", form).stdout
    there = asked(served, ops, "sessions", "export", session, "-f", form).stdout
    if form == "json":
        assert json.loads(there)["moments"] == json.loads(here)["moments"]
    else:
        assert there == here
    assert "person1@" not in here


def test_what_is_exported(served: Served, session: str) -> None:
    """Lines of a table that no spreadsheet runs; a cast that a player takes."""
    rows = list(csv.reader(io.StringIO(served.cli("sessions", "export", session, "-f", "csv").stdout)))
    assert rows[0] == ["session", "principal", "target", "time", "kind", "command", "text", "notes", "rows"]
    assert [row[4] for row in rows[1:]][:3] == ["started", "lease", "statement"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    header, *events = map(json.loads, served.cli("sessions", "export", session, "-f", "asciicast").stdout.splitlines())
    assert (header["version"], header["width"]) == (2, 120)
    assert all(kind == "o" and text.endswith("\r\n") for _, kind, text in events)


def test_many(served: Served, ops: Secret, session: str, tmp_path: Path) -> None:
    """All of a week, a file each, and a list of them."""
    done = asked(served, ops, "sessions", "export", "--since", "7d", "--to", str(tmp_path / "all"), "-o", "json")
    files = {each["session_id"]: each["file"] for each in json.loads(done.stdout)}
    assert session in files
    assert sorted(map(str, (tmp_path / "all").iterdir())) == sorted(files.values())
    asked(served, ops, "sessions", "export", "--until", "2001-01-01", "--to", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    for wrong in (["export"], ["export", "--since", "soon", "--to", "x"], ["export", "--since", "7d"]):
        assert asked(served, ops, "sessions", *wrong, code=2).stdout == ""


def test_no_more_streams_than_there_may_be(served: Served, ops: Secret) -> None:
    """The seventeenth is turned away, and other requests are answered all the while."""
    connection = served.connect()
    live = served.live(ops)
    url = f"https://127.0.0.1:{served.api_port}/api/v1/sessions/{live['session_id']}/tail"
    tls = ssl.create_default_context(cafile=str(served.home / "gateway.crt"))
    headers = {"Authorization": f"Bearer {ops.reveal_text()}"}
    with httpx2.Client(verify=tls, headers=headers, timeout=20) as client:
        streams = [client.stream("GET", url) for _ in range(16)]
        try:
            assert {stream.__enter__().status_code for stream in streams} == {200}
            turned = client.get(url)
            assert (turned.status_code, turned.headers["retry-after"]) == (503, "10")
            assert client.get(url.removesuffix("/tail")).status_code == 200
        finally:
            for stream in streams:
                stream.__exit__(None, None, None)
    connection.close()
    with httpx2.Client(verify=tls, headers=headers, timeout=20) as client:
        until(lambda: client.get(url).status_code == 200, "there is a place again")


def test_the_audit_log_is_searched(served: Served, ops: Secret, session: str, tmp_path: Path) -> None:
    """By text, operation, object, principal and time, in both ways alike; changes only with the right to them."""
    for query, texts in (
        (("PEOPLE WHERE",), ["SELECT email FROM people WHERE id = 1"]),
        (("--action", "delete", "--resource", "shop/public.people"), ["DELETE FROM people"]),
        (("DELETE", "--principal", "ci:job", "--since", "1h", "--target", "shop"), ["DELETE FROM people"]),
        (("DELETE", "--until", "1h"), []),
        (("--principal", "ci:nobody"), []),
    ):
        here = served.json("audit", "search", *query, "--in", "commands", "--limit", "500")
        there = json.loads(asked(served, ops, "audit", "search", *query, "--in", "commands", "-o", "json").stdout)
        mine = [each for each in here if each["session_id"] == session]
        assert [each["text"] for each in mine] == texts
        assert [{**each, "time": 0} for each in there if each["session_id"] == session] == [
            {**each, "time": 0} for each in mine
        ]
    assert served.api("POST", "/api/v1/sessions/ffff/kill", ops, {"reason": "x"}).status_code == 404
    eve = asked(served, served.token("eve"), "audit", "search", "-o", "json")
    assert (json.loads(eve.stdout), "changes are left out" in eve.stderr) == ([], True)
    assert asked(served, served.token("eve"), "audit", "search", "--in", "changes", code=3).stdout == ""
    file = tmp_path / "events.ndjson"
    done = asked(served, ops, "audit", "export", "--since", "1h", "--to", str(file))
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert done.stdout == f"{len(events)} events are in {file}\n"
    assert {"DELETE FROM people"} <= {each["text"] for each in events}
    assert asked(served, ops, "audit", "export", "--to", str(file), code=1).stdout == ""


def test_policies_are_tried_on_what_was_recorded(served: Served, ops: Secret, session: str, tmp_path: Path) -> None:
    """In both ways alike; only by whoever may administer the gateway; broken policies are named by file and line."""
    assert session
    new = tmp_path / "new.cedar"
    text = (served.home / "policies" / "served.cedar").read_text()
    new.write_text(text + '@id("nobody") forbid (principal, action == Action::"read", resource);\n')
    command = ("policy", "simulate", "--policies", str(new), "--since", "1d")
    here, there = served.json(*command), json.loads(asked(served, ops, *command, "-o", "json").stdout)
    assert there == here
    reads = [each for each in here["changes"] if (each["before"], each["after"]) == ("allow", "deny")]
    assert {"SELECT email FROM people WHERE id = 1"} <= {each["text"] for each in reads}
    assert all(each["rules_after"] == ["nobody"] for each in reads)
    assert "would be ruled otherwise" in asked(served, ops, *command).stdout
    assert asked(served, served.token(), *command, code=3).stdout == ""
    new.write_text("permit (x);")
    wrong = asked(served, ops, *command, code=2)
    assert wrong.stderr.startswith("new.cedar:1: not a Cedar policy")
    new.write_text("// " + "x" * (1 << 20))
    assert "a body has at most 1048576 bytes" in asked(served, ops, *command, code=1).stderr
    cases = tmp_path / "cases.yaml"
    cases.write_text(
        "tests:\n"
        '  - {principal: "ci:x", groups: [app], target: shop, sql: DELETE FROM public.people, expect: deny,'
        " rules: [no-unbounded-delete]}\n"
        '  - {principal: "ci:x", groups: [app], target: shop, sql: SELECT 1, expect: deny}\n'
    )
    for done in (served.cli("policy", "test", str(cases)), asked(served, ops, "policy", "test", str(cases), code=1)):
        assert done.returncode == 1
        assert "FAILED ci:x: SELECT 1\n  - deny\n  + allow by works" in done.stdout
