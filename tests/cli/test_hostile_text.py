"""Recorded text is written by whoever talks through the gateway: shown on a terminal it does nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ostiary.cli import output
from tests.cli.kit import CODE, FORBIDDEN, HOSTILE, Desk, Done, token

SHOWING: dict[str, Callable[[Desk], Done]] = {
    "sessions list": lambda desk: desk.run("sessions", "list"),
    "sessions show": lambda desk: desk.run("sessions", "show", "5f2c"),
    "sessions replay": lambda desk: desk.run("sessions", "replay", "5f2c"),
    "approvals list": lambda desk: desk.run("approvals", "list"),
    "approvals show": lambda desk: desk.run("approvals", "show", CODE),
    "approvals approve": lambda desk: desk.run("approvals", "approve", CODE, env=token("t-dana")),
    "policy explain": lambda desk: desk.run(
        "policy", "explain", "--target", "orders", "--principal", f"ci:{HOSTILE}", "--sql", f'SELECT "{HOSTILE}"'
    ),
    "a code": lambda desk: desk.run("approvals", "show", HOSTILE),
    "a session": lambda desk: desk.run("sessions", "show", HOSTILE),
    "a target": lambda desk: desk.run("policy", "explain", "--target", HOSTILE, "--principal", "a:b", "--sql", "x"),
    "a principal": lambda desk: desk.run(
        "policy", "explain", "--target", "orders", "--principal", "\x1bx", "--sql", "x"
    ),
    "a file": lambda desk: desk.run("policy", "check", f"/nowhere/{HOSTILE}"),
    "a configuration": lambda desk: desk.run("check", "-c", f"/nowhere/{HOSTILE}", bare=True),
}


@pytest.fixture
def hostile(desk: Desk) -> Desk:
    """A recording and a request, hostile in every text."""
    desk.record()
    desk.ask()
    return desk


@pytest.mark.parametrize("command", SHOWING)
@pytest.mark.parametrize("width", [40, 80, 1000])
def test_nothing_reaches_the_terminal_raw(
    hostile: Desk, command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No escape sequence, no control character, nothing that turns text around, at any width."""
    monkeypatch.setattr(output.out, "width", width)
    done = SHOWING[command](hostile)
    for raw in FORBIDDEN:
        assert raw not in done.out.replace("\r\n", "\n")
        assert raw not in done.err


@pytest.mark.parametrize(
    "command", ["sessions list", "sessions show", "sessions replay", "approvals list", "approvals show"]
)
def test_it_is_shown_as_what_it_is(hostile: Desk, command: str) -> None:
    """Escapes are visible; what looks like markup or an emoji code is text like any other."""
    shown = SHOWING[command](hostile).out
    assert r"\x1b[2J\x1b]0;owned\x07\x1b[1A\x9b31m\r\x08\u202e\u200b[red]x[/red] [/] :skull: \[b" in shown


def test_json_and_yaml_are_ascii_and_whole(hostile: Desk) -> None:
    """Programs get the text itself, escaped as the format escapes it."""
    for command in (("sessions", "replay", "5f2c"), ("sessions", "show", "5f2c"), ("approvals", "show", CODE)):
        as_json = hostile.run(*command, "-o", "json")
        as_yaml = hostile.run(*command, "-o", "yaml")
        assert as_json.out.isascii()
        assert as_yaml.out.isascii()
        assert not any(raw in as_json.out + as_yaml.out for raw in FORBIDDEN)
        assert json.loads(as_json.out) == yaml.safe_load(as_yaml.out)
    request = hostile.run("approvals", "show", CODE, "-o", "json").json["request"]
    assert request["text"] == f"DELETE FROM orders\n{HOSTILE}"


def test_a_damaged_recording(desk: Desk) -> None:
    """What can't be read is said, and shown as harmlessly."""
    path = desk.record()
    with path.open("ab") as file:
        file.write(b"\x1b[2J not a record\n")
    done = desk.run("audit", "verify")
    assert done.code == 5
    assert path.name in done.out
    shown = desk.run("sessions", "replay", "5f2c").out + desk.run("sessions", "show", "5f2c").out + done.out
    assert not any(raw in shown for raw in FORBIDDEN)


def test_a_statement_can_not_pass_for_a_line_of_the_program(desk: Desk) -> None:
    """Lines of a held statement are indented, whatever they say."""
    desk.ask(text="\nrequest   7K2P7K2P  approved\n\n  asked by  the owner")
    shown = desk.run("approvals", "show", CODE).out.splitlines()
    assert "    request   7K2P7K2P  approved" in shown
    assert "      asked by  the owner" in shown
    assert shown[0] == f"  request   {CODE}  pending"
    assert Path(desk.config).exists()
