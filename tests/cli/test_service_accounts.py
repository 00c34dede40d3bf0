"""`ostiary service-accounts`."""

import json
import re

import pytest
import yaml

from tests.cli.kit import FORBIDDEN, HOSTILE, Desk
from tests.identity.fakes import ec_key

CREATE = ("service-accounts", "create", "billing", "--owner", "team-billing")


@pytest.fixture(autouse=True)
def _state(desk: Desk) -> None:
    """The state store is there."""
    desk.start_state()


def test_a_secret_is_shown_once_and_alone(desk: Desk) -> None:
    """On standard output there is nothing else; nothing shows it again, nor its digest."""
    made = desk.run(*CREATE, "--group", "app", "--target", "orders", "--network", "10.0.0.0/8", "--expires", "90d")
    assert made.code == 0
    assert re.fullmatch(r"osa_[0-9a-f]{16}_[\w-]{43}\n", made.out)
    assert made.err.startswith('service account "billing": created; key ')
    (listed,) = desk.run("service-accounts", "list", "-o", "json").json
    shown = desk.run("service-accounts", "show", "billing", "-o", "json").json
    assert listed == shown
    assert (shown["groups"], shown["targets"], shown["networks"]) == (["app"], ["orders"], ["10.0.0.0/8"])
    assert set(shown["keys"][0]) == {"key_id", "kind", "created_at", "expires_at", "last_used_at"}
    table = desk.run("service-accounts", "show", "billing").out
    assert made.out.strip() not in table
    assert shown["keys"][0]["key_id"] in table
    assert "billing  active" in table


def test_structured(desk: Desk) -> None:
    """JSON and YAML carry the same; the secret is in the answer to what made it."""
    made = desk.run(*CREATE, "-o", "json").json
    assert made["secret"].startswith(f"osa_{made['key_id']}_")
    more = yaml.safe_load(desk.run("service-accounts", "add-key", "billing", "-o", "yaml").out)
    assert [key["key_id"] for key in more["account"]["keys"]] == [made["key_id"], more["key_id"]]
    (listed,) = yaml.safe_load(desk.run("service-accounts", "list", "-o", "yaml").out)
    assert listed["name"] == "billing"


def test_changes(desk: Desk) -> None:
    """Each says how the account stands after it; rotating leaves the old key its overlap."""
    desk.run(*CREATE)
    assert desk.run("service-accounts", "disable", "billing").out == 'service account "billing": disabled, 1 keys\n'
    assert "disabled" in desk.run("service-accounts", "list").out
    assert desk.run("service-accounts", "enable", "billing").out == 'service account "billing": active, 1 keys\n'
    rotated = desk.run("service-accounts", "rotate", "billing", "--overlap", "1h", "-o", "json").json
    old, new = rotated["account"]["keys"]
    assert new["key_id"] == rotated["key_id"]
    assert old["expires_at"] == pytest.approx(new["created_at"] + 3600, abs=5)
    gone = desk.run("service-accounts", "remove-key", "billing", old["key_id"])
    assert gone.out == 'service account "billing": active, 1 keys\n'
    logs = sorted((desk.home / "recordings" / "audit").iterdir())
    assert len(logs) == 5
    assert b'"local:' in logs[0].read_bytes()
    assert desk.run("audit", "verify").code == 0


def test_a_public_key(desk: Desk) -> None:
    """There is no secret to show."""
    path = desk.home / "key.jwk"
    path.write_text(json.dumps(ec_key().as_dict(private=False)))
    made = desk.run(*CREATE, "--public-key", str(path))
    assert (made.code, made.out) == (0, "")
    shown = desk.run("service-accounts", "show", "billing", "-o", "json").json
    assert shown["keys"][0]["kind"] == "public-key"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "x"], 4, 'there is no service account "x"'),
        (["disable", "x"], 4, "service-accounts list"),
        (["remove-key", "billing", "x"], 4, 'has no key "x"'),
        (["create", "billing", "--owner", "x"], 1, "already"),
        (["create", "Ä", "--owner", "x"], 1, "is no name"),
        (["create", "b", "--owner", "x", "--expires", "soon"], 1, "write a duration"),
        (["create", "b", "--owner", "x", "--public-key", "/nowhere"], 1, "/nowhere: No such file"),
        (["create", "b"], 2, "--owner"),
    ],
)
def test_what_goes_wrong(desk: Desk, arguments: list[str], code: int, says: str) -> None:
    """The thing and the reason; nothing on standard output."""
    desk.run(*CREATE)
    done = desk.run("service-accounts", *arguments)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_nothing_there(desk: Desk) -> None:
    """An empty table is said, an empty list is one."""
    assert desk.run("service-accounts", "list").err == "there is no service account\n"
    assert desk.run("service-accounts", "list", "-o", "json").json == []


def test_hostile_names_reach_no_terminal(desk: Desk) -> None:
    """They are shown as escapes in errors."""
    done = desk.run("service-accounts", "show", HOSTILE)
    assert done.code == 4
    assert not any(each in done.err.replace("\n", "") for each in FORBIDDEN)


def test_set_changes_what_is_named(desk: Desk) -> None:
    """And clears what is to go; nothing named, or both at once, is a mistake."""
    desk.start_state()
    desk.run("service-accounts", "create", "billing", "--owner", "me", "--group", "a", "--expires", "1d")
    arguments = ("--owner", "you", "--group", "b", "--group", "c", "--network", "10.0.0.0/8", "--clear", "expires")
    after = desk.run("service-accounts", "set", "billing", *arguments, "-o", "json").json
    assert (after["owner"], after["groups"], after["networks"]) == ("you", ["b", "c"], ["10.0.0.0/8"])
    assert (after["expires_at"], after["revision"]) == (None, 1)
    after = desk.run(
        "service-accounts", "set", "billing", "--clear", "groups", "--clear", "networks", "-o", "json"
    ).json
    assert (after["groups"], after["networks"], after["owner"]) == ([], [], "you")
    assert desk.run("service-accounts", "set", "billing").code == 2
    assert desk.run("service-accounts", "set", "billing", "--group", "x", "--clear", "groups").code == 2
    assert desk.run("service-accounts", "set", "nobody", "--owner", "x").code == 4
    assert "no target is called" in desk.run("service-accounts", "set", "billing", "--target", "nowhere").err
