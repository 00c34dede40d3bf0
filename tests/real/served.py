"""`ostiary serve` as an operator runs it, in a process of its own: configuration, policy, masking, recording all on."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ostiary.core import Secret
from ostiary.identity.local_issuer import LocalIssuer
from tests.real.gateway import SCRATCH, Gateway
from tests.real.servers import free_port

AUDIENCE = "ostiary-tests"
#: Everything is permitted, by rules that are asked every time.
POLICY = """\
@id("everything")
permit (principal in Group::"anyone", action, resource);
@id("and-what-cannot-be-told")
permit (principal in Group::"anyone", action == Action::"unknown", resource);
@id("no-unbounded-delete-of-ledgers")
forbid (principal, action == Action::"delete", resource in Object::"orders/public.ledger")
unless { context.has_where };
"""
DECLASSIFY = """\
@id("and-letting-out")
permit (principal in Group::"anyone", action == Action::"declassify", resource);
"""
_CONFIG = """\
server:
  state: sqlite:state.db
  recordings: file://recordings
  recording_key: recording.key
  tls: auto
  plaintext_loopback: true
  masking_key: {{file: masking.key}}
  listen: {{postgres: 127.0.0.1:{port}}}
issuers:
  - {{name: tests, type: oidc, issuer: "{issuer}", audience: {audience}, groups: ["{{groups}}"]}}
{issuers}targets:
  - name: orders
    protocol: postgres
    address: {host}:{target_port}
    database: {database}
    databases: [{scratch}]
    tls: {{mode: disable}}
    labels: {{environment: tests}}
    credential: {{type: static, username: "{username}", password: {{file: upstream.password}}}}
policies: tests.cedar
classification: {classification}
masking: {{secret: {{transform: redact}}, pii: {{transform: partial, text_only: true}}{rules}}}
"""


@contextmanager
def serving(
    home: Path,
    target: tuple[str, int, str],
    username: str,
    password: Secret,
    classified: Sequence[tuple[str, str]] = (),
    issuers: Sequence[str] = (),
    rules: Mapping[str, str] | None = None,
    *,
    declassify: bool = False,
) -> Iterator[Gateway]:
    """Serve until the end of the context.

    Args:
        home: an empty directory for its files.
        target: host, port, default database of "orders".
        username: what everyone is on the server.
        password: of that user.
        classified: (object, class) pairs.
        issuers: further ones, each as it stands in the configuration.
        rules: further classes, each as it stands in the configuration.
        declassify: values may be put where they have no class, so that nothing but masking hides them.
    """
    port = free_port()
    with _issuing() as issuer:
        config = home / "ostiary.yaml"
        classification = [f"{{target: orders, object: {name}, class: {kind}}}" for name, kind in classified]
        config.write_text(
            _CONFIG.format(
                port=port,
                issuer=issuer.url,
                audience=AUDIENCE,
                issuers="".join(f"  - {each}\n" for each in issuers),
                host=target[0],
                target_port=target[1],
                database=target[2],
                scratch=SCRATCH,
                username=username,
                classification=f"[{', '.join(classification)}]",
                rules="".join(f", {name}: {rule}" for name, rule in (rules or {}).items()),
            )
        )
        (home / "tests.cedar").write_text(POLICY + (DECLASSIFY if declassify else ""))
        for name, held in (("upstream.password", password.reveal()), ("masking.key", b"for tests, 16 bytes or more")):
            secret = home / name
            secret.touch(mode=0o600)
            secret.write_bytes(held)
        log = home / "gateway.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "ostiary", "serve", "-c", str(config)], stdout=output, stderr=output, text=True
            )
        try:
            _wait(process, log)
            token = issuer.mint("tests", AUDIENCE, 3600.0, groups=["anyone"]).reveal_text()
            yield Gateway("127.0.0.1", port, port, home / "gateway.crt", process, home / "recordings", token)
        finally:
            process.terminate()
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _issuing() -> Iterator[LocalIssuer]:
    """A token issuer on a loop of its own."""
    issuer = LocalIssuer()
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with issuer:
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield issuer
    finally:
        stop.set()
        thread.join(10)


def _wait(process: "subprocess.Popen[str]", log: Path) -> None:
    end = time.monotonic() + 30
    while '"event": "serving"' not in log.read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the gateway did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
