"""The demo's gateway: a configuration like anybody's, served by `ostiary serve` in a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ostiary.core import Secret
from ostiary.demo.database import ShopDatabase
from ostiary.demo.interrupt import shielded

AUDIENCE = "ostiary-demo"
_USUAL_PORT = 6432
_START_SECONDS = 30.0
_CONFIG = """\
# Written by `ostiary demo`; an ordinary configuration.
server:
  url: ""
  state: sqlite:state.db
  recordings: file://recordings
  recording_key: recording.key
  tls: auto
  listen: {{postgres: 127.0.0.1:{port}}}
issuers:
  - {{name: local, type: oidc, issuer: "{issuer}", audience: {audience}, groups: ["{{groups}}"]}}
targets:
  - name: orders
    protocol: postgres
    address: 127.0.0.1:{database_port}
    database: shop
    tls: {{mode: disable}}
    labels: {{environment: demo}}
    credential:
      type: postgres-role
      admin: {{username: {admin}, password: {{file: admin.password}}}}
      member_of: [app_rw]
policies: shop.cedar
classification:
  - {{target: orders, object: public.customers.email, class: pii.email}}
  - {{target: orders, object: public.customers.phone, class: pii.phone}}
  - {{target: orders, object: public.payments.card, class: pci.card}}
masking:
  pii.email: {{transform: partial, text_only: true}}
  pii.phone: {{transform: redact, text_only: true}}
  pci.card: {{transform: partial, text_only: true}}
approvals:
  dba: {{members: [{{group: dba}}], required: 1, timeout: 10m}}
"""


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """Where it listens, and its files."""

    port: int
    home: Path

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.home / "ostiary.yaml"

    @property
    def certificate(self) -> Path:
        """What clients verify it by."""
        return self.home / "gateway.crt"


@contextmanager
def demo_gateway(home: Path, issuer: str, database: ShopDatabase) -> Iterator[DemoGateway]:
    """Serve until the end of the context. Raises RuntimeError when it does not come up."""
    gateway = DemoGateway(_port(), home)
    gateway.config.write_text(
        _CONFIG.format(
            port=gateway.port,
            issuer=issuer,
            audience=AUDIENCE,
            database_port=database.port,
            admin=database.admin,
        )
    )
    password = home / "admin.password"
    password.touch(mode=0o600)
    password.write_bytes(database.admin_password.reveal())
    (home / "shop.cedar").write_text((Path(__file__).parent / "shop.cedar").read_text())
    log = home / "gateway.log"
    process: subprocess.Popen[bytes] | None = None
    try:
        with shielded(), log.open("w") as output:
            process = subprocess.Popen(  # noqa: S603 - our own program, our own arguments
                [sys.executable, "-m", "ostiary", "serve", "-c", str(gateway.config)],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _wait(process, log)
        yield gateway
    finally:
        if process is not None:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=45)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if '"event": "serving"' in log.read_text():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway did not start: {log.read_text()[-800:]}")


def _port() -> int:
    """The usual port where it is free."""
    for wanted in (_USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no port is free on 127.0.0.1")


def cli(gateway: DemoGateway, *arguments: str, token: Secret | None = None) -> "subprocess.CompletedProcess[str]":
    """A command as a person would type it in a second terminal."""
    environment = dict(os.environ)
    if token is not None:
        environment["OSTIARY_TOKEN"] = token.reveal_text()
    return subprocess.run(  # noqa: S603 - our own program, our own arguments
        [sys.executable, "-m", "ostiary", *arguments, "-c", str(gateway.config)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
