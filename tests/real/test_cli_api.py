"""The command line as a client of a running gateway's API: the same views as from the gateway's files."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from ostiary.core import Column, Secret, ValueKind
from ostiary.masking import ClassRule, Transform
from ostiary.masking.transforms import Transforms
from tests.real.asking import asked
from tests.real.servers import PostgresServer
from tests.real.serving import MASKING_KEY, Served, running, until

DATABASE = "cliapi"
#: What the API does not tell, or tells in another way: where the gateway's files are, and who holds a connection.
ELSEWHERE = {"path", "file", "owner", "heartbeat_at"}


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that has seen a session: a statement, a refusal."""
    with running(postgres15, tmp_path_factory.mktemp("cliapi") / "home", DATABASE) as served:
        with served.connect() as connection:
            connection.execute("SELECT email FROM people WHERE id = %s", (1,))
            with pytest.raises(psycopg.Error):
                connection.execute("DELETE FROM people")
        served.newest()
        yield served
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def ops(served: Served) -> Secret:
    """Somebody who may view, audit and administer."""
    return served.token("olga", "ops")


def common(found: Any) -> Any:
    """Without what only one of the two ways has; moments in time to the microsecond."""
    match found:
        case dict():
            return {name: common(value) for name, value in found.items() if name not in ELSEWHERE}
        case list():
            return [common(each) for each in found]
        case float():
            return datetime.fromtimestamp(found, UTC)
        case _:
            return found


@pytest.mark.parametrize(
    "command",
    [
        ("targets", "list"),
        ("targets", "show", "shop"),
        ("sessions", "list"),
        ("sessions", "list", "--refused", "--target", "shop"),
        ("sessions", "show", "SESSION"),
        ("sessions", "replay", "SESSION"),
        ("policy", "explain", "--target", "shop", "--principal", "ci:x", "--group", "app", "--sql", "SELECT 1"),
    ],
)
def test_both_ways_say_the_same(served: Served, ops: Secret, command: tuple[str, ...]) -> None:
    """JSON member by member, and the very same table."""
    session = served.newest()["session_id"]
    command = tuple(session if word == "SESSION" else word for word in command)
    here, there = served.json(*command), json.loads(asked(served, ops, *command, "-o", "json").stdout)
    assert common(there) == common(here)
    if command[0] != "policy":
        assert asked(served, ops, *command).stdout == served.cli(*command).stdout


def test_verify(served: Served, ops: Secret) -> None:
    """Whole, and by whose key."""
    assert asked(served, ops, "audit", "verify").stdout.endswith("; believed: the gateway's own key\n")
    refused = asked(served, ops, "audit", "verify", "--key", "x", code=2)
    assert refused.stderr.startswith("error: a gateway believes its own key\n")


def test_approvals(served: Served) -> None:
    """Listed, shown and decided by a member, who needs no file of the gateway."""
    dana = served.token("dana", "dba")
    connection = served.connect()
    thread = threading.Thread(target=lambda: connection.execute("CREATE TABLE made (id int)"), daemon=True)
    thread.start()
    code = served.pending()
    here = served.json("approvals", "show", code)
    there = json.loads(asked(served, dana, "approvals", "show", code, "-o", "json").stdout)
    assert common(there) == common(here)
    assert common(json.loads(asked(served, dana, "approvals", "list", "-o", "json").stdout)) == [common(here)]
    assert asked(served, served.token("eve", "ops"), "approvals", "approve", code, code=3).stderr.startswith("error: ")
    assert asked(served, dana, "approvals", "approve", code).stdout == f"request {code}: approved\n"
    thread.join(20)
    assert not thread.is_alive()
    again = asked(served, dana, "approvals", "deny", code, code=3)
    assert "was approved by ci:dana" in again.stderr
    connection.close()
    until(lambda: served.roles() == [], "the role is gone")


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (("targets", "show", "nix"), 4, 'no target "nix" is declared'),
        (("sessions", "show", "ffff"), 4, "no recording of a session ffff"),
        (("sessions", "show", "../targets"), 4, "there is no such resource"),
        (("sessions", "show", ".."), 1, '".." is no name'),
        (("approvals", "show", "0000"), 4, ""),
        (("policy", "explain", "--target", "nix", "--principal", "a:b", "--sql", "SELECT 1"), 4, "no target"),
        (("policy", "explain", "--target", "shop", "--principal", "ab", "--sql", "SELECT 1"), 2, "no schema"),
    ],
)
def test_errors(served: Served, ops: Secret, command: tuple[str, ...], code: int, sentence: str) -> None:
    """The gateway's sentence, and the documented exit code."""
    done = asked(served, ops, *command, code=code)
    assert done.stdout == ""
    if sentence != "no schema":
        assert sentence in done.stderr


def test_who_may_not(served: Served) -> None:
    """A token that is not believed, one that may nothing, none at all."""
    assert asked(served, Secret("canary"), "targets", "list", code=3).stderr.startswith("error: token refused")
    assert "canary" not in asked(served, Secret("canary"), "targets", "list", code=3).stderr
    assert json.loads(asked(served, served.token(), "targets", "list", "-o", "json").stdout) == []
    assert "no token to do it with" in asked(served, None, "targets", "list", code=2).stderr


def test_a_target_is_tried(served: Served, ops: Secret) -> None:
    """Each step with its time; nothing is left on the server, nothing secret is said, and it is written down."""
    found = json.loads(asked(served, ops, "targets", "test", "shop", "-o", "json").stdout)
    steps = {each["name"]: each for each in found["steps"]}
    assert list(steps) == ["resolve", "connect", "tls", "credential", "login", "give back"]
    assert found["ok"]
    assert steps["tls"]["detail"].endswith("certificate verified (verify-full)")
    assert steps["credential"]["detail"].startswith("postgres-role: ostiary_shop_")
    assert "PostgreSQL 15" in steps["login"]["detail"]
    assert all(each["seconds"] > 0 for each in found["steps"])
    assert served.roles() == []
    shown = asked(served, ops, "targets", "test", "shop").stdout
    assert len([line for line in shown.splitlines() if line.startswith("ok ")]) == 6
    changed = json.loads(asked(served, ops, "audit", "search", "--in", "changes", "-o", "json").stdout)
    assert {("targets/shop/test", "asked"), ("targets/shop/test", "done")} <= {
        (each["resources"][0], each["result"]) for each in changed
    }


def test_a_target_is_not_tried_by_others(served: Served) -> None:
    """Without `administer` on it nothing is dialled, whether or not there is such a target."""
    for name in ("shop", "nix"):
        done = asked(served, served.token(), "targets", "test", name, code=3)
        assert done.stderr.startswith("error: denied: no policy permits administer on ")
    assert asked(served, served.token("olga", "ops"), "targets", "test", "nix", code=4).stdout == ""


def test_leases(served: Served, ops: Secret) -> None:
    """Listed while they are out; taking one back ends its session, whose client reads why."""
    connection = served.connect()
    (lease,) = json.loads(asked(served, ops, "leases", "list", "-o", "json").stdout)
    assert (lease["target"], lease["state"], lease["username"]) == ("shop", "active", *served.roles())
    assert lease["session_id"] in asked(served, ops, "leases", "list").stdout
    assert json.loads(asked(served, served.token(), "leases", "list", "-o", "json").stdout) == []
    revoke = ("leases", "revoke", lease["lease_id"], "--reason", "leaked")
    assert asked(served, served.token(), *revoke, code=3).stderr.startswith("error: denied: no policy permits")
    done = asked(served, ops, *revoke)
    assert done.stdout == f"session {lease['session_id']} has ended; lease {lease['lease_id']} is gone\n"
    assert served.roles() == []
    with pytest.raises(psycopg.Error, match="ended by ci:olga: leaked"):
        connection.execute("SELECT 1")
    connection.close()
    assert asked(served, ops, *revoke, code=4).stdout == ""
    assert asked(served, ops, "leases", "revoke", "../x", "--reason", "x", code=4).stdout == ""
    assert asked(served, ops, "leases", "revoke", "zz", "--reason", "x", code=2).stdout == ""


def test_revealing(served: Served, ops: Secret) -> None:
    """Who may see the class reads what its tokens stand for; who administers the gateway does not."""
    replacer = Transforms("shop", Secret(MASKING_KEY.encode())).replacer(
        ClassRule(Transform.TOKEN), "pii.code", Column("c", None, ValueKind.TEXT)
    )
    (cell,) = replacer.cells([b"canary 7"])
    assert cell is not None
    reveal = ("masking", "reveal", "shop", "pii.code", cell.decode())
    seer = served.token("ann", "seers")
    told = asked(served, seer, *reveal, "-o", "json").stdout
    assert json.loads(told) == [{"token": cell.decode(), "value": "canary 7"}]
    assert "canary 7" in asked(served, seer, *reveal).stdout
    denied = asked(served, ops, *reveal, code=3)
    assert 'unmask of "pii.code" at shop is not permitted' in denied.stderr
    assert "canary" not in asked(served, seer, *reveal[:-1], "tok1_ab", code=2).stdout


def test_service_accounts(served: Served, ops: Secret) -> None:
    """Made, changed and given keys from afar; both ways show the same; a secret is shown once, alone."""
    root = served.token("root", "ops")
    made = asked(served, root, "service-accounts", "create", "billing", "--owner", "team", "--group", "app")
    secret = made.stdout.strip()
    assert len(secret) > 20
    assert secret not in made.stderr
    with served.connect(Secret(secret)) as connection:
        connection.execute("SELECT 1")
    key = json.loads(
        asked(served, root, "service-accounts", "add-key", "billing", "--expires", "1h", "-o", "json").stdout
    )
    asked(served, root, "service-accounts", "set", "billing", "--target", "shop", "--expires", "30d")
    for command in (("list",), ("show", "billing")):
        here = served.json("service-accounts", *command)
        there = json.loads(asked(served, ops, "service-accounts", *command, "-o", "json").stdout)
        assert common(there) == common(here)
        assert secret not in json.dumps(there)
    shown = json.loads(
        asked(served, root, "service-accounts", "remove-key", "billing", key["key_id"], "-o", "json").stdout
    )
    assert (len(shown["keys"]), shown["targets"]) == (1, ["shop"])
    rotated = asked(served, root, "service-accounts", "rotate", "billing", "--overlap", "0s").stdout.strip()
    assert rotated != secret
    assert asked(served, root, "service-accounts", "disable", "billing").stdout.startswith(
        'service account "billing": dis'
    )
    with pytest.raises(psycopg.Error, match=r"disabled|refused"):
        served.connect(Secret(rotated))
    assert "active" in asked(served, root, "service-accounts", "enable", "billing").stdout
    assert asked(served, served.token(), "service-accounts", "disable", "billing", code=3).stdout == ""
    assert asked(served, root, "service-accounts", "show", "nobody", code=4).stdout == ""
    assert asked(served, root, "service-accounts", "create", "billing", "--owner", "x", code=3).stdout == ""
    until(lambda: served.roles() == [], "every role is gone")
