"""`ostiary approvals watch`: on a terminal by keys, elsewhere in lines."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ostiary.core import Secret
from tests.real.asking import environment
from tests.real.servers import PostgresServer
from tests.real.serving import Served, running, until

DATABASE = "cliwatch"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway."""
    with running(postgres15, tmp_path_factory.mktemp("cliwatch") / "home", DATABASE) as served:
        yield served
    assert "Traceback" not in served.log.read_text()


@contextmanager
def held(served: Served, statement: str) -> Iterator[list[str]]:
    """A statement that waits; what became of it."""
    ended: list[str] = []
    connection = served.connect()

    def run() -> None:
        try:
            ended.append(connection.execute(statement.encode()).statusmessage or "")
        except psycopg.Error as error:
            ended.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    served.pending()
    yield ended
    thread.join(20)
    connection.close()
    until(lambda: served.roles() == [], "the role is gone")


class Terminal:
    """A command on a terminal of 80 columns and 24 lines."""

    def __init__(self, served: Served, token: Secret, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = ["setsid", "--ctty", sys.executable, "-m", "ostiary", *arguments]
        more = {**environment(served, token), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=more)
        os.close(slave)
        self.said = ""

    def type(self, text: str) -> None:
        """At the keyboard."""
        self.said = ""
        os.write(self._master, text.encode())

    def wait(self, text: str, seconds: float = 20.0) -> str:
        """Until this was shown since the last typing."""
        end = time.monotonic() + seconds
        while text not in self.said:
            assert time.monotonic() < end, (text, self.said)
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self._master, 65536).decode()
                except OSError:
                    break
        assert text in self.said, self.said
        return self.said

    def interrupt(self, text: str) -> None:
        """Ctrl-C, again as a person would: Python's prompt loses one that comes just before it waits for a key."""
        for _ in range(5):
            self.type("\x03")
            try:
                self.wait(text, 4.0)
            except AssertionError:
                continue
            return
        self.wait(text)

    def close(self) -> int:
        """Its exit code."""
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            os.close(self._master)


@pytest.mark.parametrize(("key", "said", "end"), [("a", "approved", "CREATE TABLE"), ("d", "denied", "not today")])
def test_decided_by_a_key(served: Served, key: str, said: str, end: str) -> None:
    """A new one rings; it is shown whole and harmless before it is decided; the terminal is as it was afterwards."""
    terminal = Terminal(served, served.token("dana", "dba"), "approvals", "watch", "--every", "0.5")
    terminal.wait("nothing waits")
    statement = f'CREATE TABLE made_{key} ("\x1b]0;owned\x1b\\" int)'
    with held(served, statement) as ended:
        shown = terminal.wait("a approve")
        assert "\x07" in shown
        assert "\x1b]0;owned" not in shown
        terminal.type(key)
        shown = terminal.wait("then Enter")
        assert r"\x1b]0;owned" in shown
        assert "\x1b]0;owned" not in shown
        terminal.type("not today\n")
        terminal.wait(said)
        until(lambda: ended, "the statement ended")
        assert end in ended[0]
    terminal.type("q")
    assert terminal.close() == 0


def test_nothing_by_mistake(served: Served) -> None:
    """Ctrl-C at the question leaves the request as it is, Ctrl-C at the list ends the command."""
    with held(served, "CREATE TABLE made_c (id int)"):
        code = served.pending()
        terminal = Terminal(served, served.token("dana", "dba"), "approvals", "watch", "--every", "0.5")
        terminal.wait(code)
        terminal.type("d")
        terminal.wait("then Enter")
        terminal.interrupt("left as it is")
        assert served.pending() == code
        terminal.type("\x03")
        assert terminal.close() == 130
        assert served.cli("approvals", "deny", code, token=served.token("dana", "dba")).returncode == 0


def test_lines_for_programs(served: Served) -> None:
    """One for each that comes, one for each that waits no more."""
    command = [sys.executable, "-m", "ostiary", "approvals", "watch", "-o", "json", "--every", "0.5"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(served, served.token("dana", "dba"))
    )
    assert process.stdout is not None
    try:
        with held(served, "CREATE TABLE made_p (id int)"):
            code = served.pending()
            came = json.loads(process.stdout.readline())
            assert (came["event"], came["approval"]["request"]["code"]) == ("waits", code)
            assert served.cli("approvals", "deny", code, token=served.token("dana", "dba")).returncode == 0
            went = json.loads(process.stdout.readline())
            assert (went["event"], went["approval"]["request"]["code"]) == ("gone", code)
    finally:
        process.terminate()
        process.communicate()
