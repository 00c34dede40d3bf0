"""The log: one JSON object a line, whatever is in it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ostiary.core import Secret
from ostiary.runtime import logs

HOSTILE = 'a\n{"event": "forged"}\x1b[2J\u202e\r'


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Lines, parsed."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_hostile_text_is_one_bounded_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Newlines, escapes, a megabyte, a thousand entries, a bottomless nest, a name that is hostile."""
    logs.configure()
    nested: list[Any] = []
    nested.append(nested)
    log = structlog.get_logger()
    log.warning("e", text=HOSTILE, long="x" * 1_000_000, many=["y"] * 1000, deep=nested, odd={HOSTILE: HOSTILE})
    raw = capsys.readouterr().err
    assert raw.count("\n") == 1
    assert len(raw) < 8000
    assert not set(raw) & {"\x1b", "\u202e", "\r"}
    line = json.loads(raw)
    assert line["text"] == 'a\\n{"event": "forged"}\\x1b[2J\\u202e\\r'
    assert line["long"].endswith("… (1000000 characters)")
    assert len(line["many"]) == logs.MAX_ITEMS


def test_secrets_and_locals_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A secret hides itself; a traceback names places only."""
    logs.configure()
    try:
        password = "canary-1"
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("e", secret=Secret("canary-2"))
    [line] = told(capsys)
    assert "canary" not in json.dumps(line)
    assert line["exception"][0]["exc_type"] == "ValueError"


def test_level_and_context(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is not told; what is bound is in every line."""
    logs.configure(logs.Logging(logs.Level.WARNING))
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("quiet")
        log.warning("loud", n=1)
    [line] = told(capsys)
    assert (line["event"], line["level"], line["request_id"], line["n"]) == ("loud", "warning", "r1", 1)
    assert line["timestamp"].endswith("Z")


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: plain text, still harmless."""
    logs.configure(logs.Logging(format=logs.Format.CONSOLE))
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("e", text=HOSTILE)
    raw = capsys.readouterr().err
    assert not set(raw) & {"\x1b", "\u202e", "\r"}
    assert "ValueError" in raw
    assert '{"event"' not in raw.splitlines()[0] or "\\n" in raw
