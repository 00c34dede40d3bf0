"""`ostiary apply` on a gateway that serves: what is declared is in force, what is taken away ends."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.real.servers import PostgresServer
from tests.real.serving import Served, issuing, prepare, until

DATABASE = "applied"
POLICY = """\
@id("reports-work")
permit (principal in Group::"analysts", action, resource in Target::"reports");
@id("reports-functions")
permit (principal in Group::"analysts", action == Action::"unknown", resource in Target::"reports");
"""


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway whose file lets the API refer to one secret, at the server's own address."""
    prepare(postgres15, DATABASE)
    with issuing() as issuer:
        served = Served(tmp_path_factory.mktemp("apply") / "home", postgres15, DATABASE, issuer)
        allowed = f"{{env: SERVED_ADMIN_PASSWORD, addresses: ['127.0.0.1:{postgres15.port}']}}"
        text = served.config.read_text()
        served.config.write_text(text.replace("  tls: auto\n", f"  tls: auto\n  allow_references: [{allowed}]\n", 1))
        served.start()
        try:
            yield served
        finally:
            assert served.process is not None
            if served.process.poll() is None:
                assert served.end() == 0


@pytest.fixture
def files(served: Served, tmp_path: Path) -> Path:
    """A target, a rule of its own and a classification, as a person writes them."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "reports.cedar").write_text(POLICY)
    target = {
        "name": "reports",
        "protocol": "postgres",
        "address": f"127.0.0.1:{served.server.port}",
        "database": DATABASE,
        "tls": {"mode": "verify-full", "ca": Path(str(served.server.ca)).read_text()},
        "credential": {
            "type": "postgres-role",
            "admin": {"username": "served_admin", "password": {"env": "SERVED_ADMIN_PASSWORD"}},
            "member_of": ["served_rw"],
        },
    }
    # JSON is YAML.
    (tmp_path / "targets.yaml").write_text(json.dumps({"targets": [target]}))
    (tmp_path / "masking.yaml").write_text(
        "classification: [{target: reports, object: public.people.email, class: pii.mail}]\n"
        "masking: {pii.mail: {transform: redact}}\n"
    )
    return tmp_path


def apply(served: Served, files: Path, *arguments: str, token: str = "") -> "subprocess.CompletedProcess[str]":
    """The command, as somebody elsewhere runs it."""
    known = token or served.token("olga", "ops").reveal_text()
    command = [sys.executable, "-m", "ostiary", "apply", "-f", str(files), *arguments]
    command += ["--api", f"https://127.0.0.1:{served.api_port}", "--ca", str(served.home / "gateway.crt")]
    environment = {**served.environment, "OSTIARY_TOKEN": known}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def analyst(served: Served) -> "psycopg.Connection[tuple[Any, ...]]":
    """Somebody whom only what was applied lets in."""
    return served.connect(served.token("ann", "analysts"), dbname="reports")


def test_what_is_applied_is_in_force(served: Served, files: Path) -> None:
    """A target takes sessions by its own rule, masked by its own classification, until it is pruned; no restart."""
    with pytest.raises(psycopg.OperationalError):
        analyst(served)
    seen = apply(served, files, "--dry-run")
    assert seen.returncode == 6, seen.stderr
    assert "+ target reports" in seen.stdout
    with pytest.raises(psycopg.OperationalError):
        analyst(served)
    done = apply(served, files, "--yes")
    assert done.returncode == 0, done.stderr
    assert "applied as revision 1, in force now" in done.stdout
    with analyst(served) as connection:
        row = connection.execute("SELECT id, email FROM people WHERE id = 1").fetchone()
        assert row is not None
        assert row[0] == 1
        assert "example.org" not in str(row[1])
        again = apply(served, files, "--yes", "-o", "json")
        assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, False)
        (files / "masking.yaml").unlink()
        assert "- masking pii.mail" in apply(served, files, "--yes", "--prune").stdout
        (files / "targets.yaml").unlink()
        (files / "policies" / "reports.cedar").write_text("// nothing is declared any more\n")
        gone = apply(served, files, "--yes", "--prune")
        assert gone.returncode == 0, gone.stderr
        assert until(lambda: ended(connection), "the session of a target that is gone ends", 6.0)
    with pytest.raises(psycopg.OperationalError):
        analyst(served)
    with served.connect() as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (10,)


def ended(connection: "psycopg.Connection[tuple[Any, ...]]") -> bool:
    """Does it take no statement any more?"""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return connection.closed
    return False


def test_of_two_who_apply_at_once_nobody_overwrites_unseen(served: Served, tmp_path: Path) -> None:
    """Each is applied against what it was shown: whoever is overtaken is told, and nothing of theirs is made."""
    homes = [tmp_path / name for name in ("a", "b", "c", "d")]
    for home in homes:
        home.mkdir()
        (home / "x.yaml").write_text(f"masking: {{m.{home.name}: {{transform: keep}}}}\n")
    codes: dict[str, int] = {}

    def run(home: Path) -> None:
        codes[home.name] = apply(served, home, "--yes").returncode

    threads = [threading.Thread(target=run, args=(home,)) for home in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    token = served.token("olga", "ops")
    names = {each["name"] for each in served.api("GET", "/api/v1/masking", token).json()["items"]}
    assert {f"m.{name}" for name, code in codes.items() if code == 0} == {
        name for name in names if name.startswith("m.")
    }
    assert set(codes.values()) <= {0, 3}
    assert 0 in codes.values()


def test_who_may_not_is_told(served: Served, files: Path) -> None:
    """By policy's own sentence; and what the file does not allow is refused with the line that asks for it."""
    denied = apply(served, files, "--yes", token=served.token("eve", "app").reveal_text())
    assert (denied.returncode, "denied" in denied.stderr) == (3, True)
    text = (files / "targets.yaml").read_text()
    (files / "targets.yaml").write_text(text.replace(f"127.0.0.1:{served.server.port}", "evil.example:5432"))
    stolen = apply(served, files, "--yes")
    assert stolen.returncode == 2
    assert f"{files}/targets.yaml:1" in stolen.stderr
    assert "this secret may not be sent to this address" in stolen.stderr


def test_a_gateway_that_starts_again_has_it_all(served: Served, tmp_path: Path) -> None:
    """What is stored outlives the process."""
    (tmp_path / "x.yaml").write_text("masking: {kept.over: {transform: keep}}\n")
    assert apply(served, tmp_path, "--yes").returncode == 0
    assert served.end() == 0
    served.start()
    shown = served.api("GET", "/api/v1/masking/kept.over", served.token("olga", "ops"))
    assert shown.json()["document"] == {"transform": "keep"}


def test_a_narrowed_service_account_loses_its_session(served: Served) -> None:
    """Within 5 seconds of the change, with a sentence that says why."""
    token = served.token("olga", "ops")
    body = {"name": "narrowed", "owner": "me", "groups": ["app"]}
    made = served.api("POST", "/api/v1/service-accounts", token, body).json()
    with served.connect(password=made["secret"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        patch = {"Content-Type": "application/merge-patch+json"}
        path = "/api/v1/service-accounts/narrowed"
        wider = served.api("PATCH", path, token, {"networks": ["127.0.0.0/8"]}, **patch)
        assert wider.status_code == 200, wider.text
        assert connection.execute("SELECT 1").fetchone() == (1,)
        served.api("PATCH", path, token, {"networks": ["192.0.2.0/24"]}, **patch)
        assert until(lambda: ended(connection), "the session of a narrowed account ends", 6.0)
    with pytest.raises(psycopg.OperationalError, match="may not come from this address"):
        served.connect(password=made["secret"])


def test_what_is_applied_on_the_host_is_followed(served: Served, tmp_path: Path) -> None:
    """Into the state store beside a gateway that runs: within 5 seconds it rules there."""
    (tmp_path / "x.yaml").write_text("masking: {from.host: {transform: keep}}\n")
    done = served.cli("apply", "-f", str(tmp_path), "--yes")
    assert done.returncode == 0, done.stderr
    (tmp_path / "x.yaml").write_text("approvals: {fresh: {members: [{group: ops}]}}\n")
    (tmp_path / "policies").mkdir()
    rule = '@id("from-host") forbid (principal, action == Action::"grant", resource);'
    (tmp_path / "policies" / "x.cedar").write_text(rule)
    assert served.cli("apply", "-f", str(tmp_path), "--yes").returncode == 0
    token = served.token("olga", "ops")

    def shown() -> dict[str, Any] | None:
        found = served.api("GET", "/api/v1/policies/from-host", token)
        return found.json()["declaration"] if found.status_code == 200 else None

    assert until(shown, "the rule rules", 5.0)["changed_by"].startswith("local:")
