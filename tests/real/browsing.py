"""A gateway that people sign in at, as `ostiary serve` runs it, and Chromium to look at it with."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.real.serving import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_CONFIG = """\
server:
  url: https://localhost:{port}
  state: sqlite:state.db
  tls: auto
  listen: {{postgres: 127.0.0.1:0, api: 127.0.0.1:{port}}}
issuers:
  - {{name: ci, type: oidc, issuer: "https://issuer.invalid", audience: x}}
targets:
  - name: shop
    protocol: postgres
    address: 127.0.0.1:1
    tls: {{mode: disable}}
    credential: {{type: static, username: nobody}}
policies: policies.cedar
"""


@dataclass
class SignInGateway:
    """It runs."""

    home: Path
    url: str
    #: Address of the one-time link that it printed.
    link: str
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        """What it said on standard error, the link's line left out."""
        lines = (self.home / "serve.log").read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("set up the local administrator"))


@contextmanager
def signing_in(home: Path) -> Iterator[SignInGateway]:
    """Serve; ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = home / "ostiary.yaml"
    config.write_text(_CONFIG.format(port=port))
    (home / "policies.cedar").write_text('@id("none") forbid (principal, action, resource);\n')
    log = home / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ostiary", "serve", "-c", str(config)],
            stdout=file,
            stderr=file,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
    try:
        until(lambda: "/setup/" in log.read_text() or process.poll() is not None, "a link")
        assert process.poll() is None, log.read_text()
        link = next(line for line in log.read_text().splitlines() if "/setup/" in line).rpartition(" ")[2]
        yield SignInGateway(home, f"https://localhost:{port}", link, process)
    finally:
        process.terminate()
        process.wait(40)
