"""`ostiary exec` and `token` on a terminal: a shell's job control, and what is not printed."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.client.kit import jwt
from tests.real.gateway import Gateway
from tests.real.served import serving
from tests.real.servers import PostgresServer

TOKEN = jwt(exp=4_000_000_000)
#: Counts what the terminal sends it, and says so.
_COUNTING = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGCONT})
print("ready " + "now", flush=True)
signal.sigwait({signal.SIGCONT})
print("going on", flush=True)
signal.sigwait({signal.SIGINT})
got = 1
while signal.sigtimedwait({signal.SIGINT}, 1):
    got += 1
print("interrupted", got, "time(s)", flush=True)
signal.pause()
"""


class Terminal:
    """A bash on a terminal of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.shell = subprocess.Popen(
            ["setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "PS1": "$ ", "TERM": "dumb"},
        )
        os.close(slave)
        self.said = ""

    def type(self, text: str) -> None:
        """As somebody at the keyboard."""
        self.said = ""
        os.write(self._master, text.encode())

    def wait(self, text: str, seconds: float = 20.0) -> str:
        """Until this was said since the last typing."""
        end = time.monotonic() + seconds
        while text not in self.said:
            ready, _, _ = select.select([self._master], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"never said {text!r}: {self.said!r}"
            self.said += os.read(self._master, 65536).decode("utf-8", "replace")
        return self.said

    def end(self) -> None:
        """Hang up."""
        os.close(self._master)
        with suppress(subprocess.TimeoutExpired):
            self.shell.wait(5)
        self.shell.kill()
        self.shell.wait()


@contextmanager
def terminal(**variables: str) -> Iterator[Terminal]:
    """A shell until the end of the context."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "OSTIARY"))}
    made = Terminal({**inherited, **variables})
    try:
        made.wait("$ ")
        yield made
    finally:
        made.end()


def test_a_token_is_not_printed_on_a_terminal() -> None:
    """Only with --show, and then with a warning; a pipe gets it."""
    command = f"{sys.executable} -m ostiary token"
    with terminal(OSTIARY_TOKEN=TOKEN) as shell:
        shell.type(f"{command}; echo code=$?\n")
        said = shell.wait("code=2")
        assert "a token is not printed on a terminal" in said
        assert TOKEN[:40] not in said
        shell.type(f"{command} | wc -c; echo code=$?\n")
        assert f"\n{len(TOKEN) + 1}\r" in shell.wait("code=0")
        shell.type(f"{command} --show; echo code=$?\n")
        said = shell.wait("code=0").replace("\r\n", "")
        assert "whoever sees this token can use it" in said
        assert TOKEN in said


@pytest.fixture(scope="module")
def gateway(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a token that lasts."""
    home = tmp_path_factory.mktemp("terminal")
    target = (postgres18.host, postgres18.port, "postgres")
    with serving(home, target, postgres18.superuser, postgres18.password) as made:
        yield made


def test_a_shells_job_control(gateway: Gateway, tmp_path: Path) -> None:
    """Ctrl-Z stops it, `fg` goes on, Ctrl-C reaches the command once, SIGQUIT's key ends it with its own code."""
    script = tmp_path / "counting.py"
    script.write_text(_COUNTING)
    variables = {
        "OSTIARY_GATEWAY": f"127.0.0.1:{gateway.port}",
        "OSTIARY_CA": str(gateway.ca),
        "OSTIARY_AUDIENCE": "ostiary-tests",
        "OSTIARY_TOKEN": gateway.token,
    }
    with terminal(**variables) as shell:
        shell.type(f"{sys.executable} -m ostiary exec orders -- {sys.executable} {script}\n")
        shell.wait("ready now")
        shell.type("\x1a")
        shell.wait("Stopped")
        shell.type("fg\n")
        shell.wait("going on")
        shell.type("\x03")
        shell.wait("interrupted 1 time(s)")
        shell.type("\x1c")
        shell.wait("$ ")
        shell.type("echo code=$?\n")
        shell.wait(f"code={128 + signal.SIGQUIT}")
