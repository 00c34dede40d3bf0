"""`python -m bench.login_flood [--quick]`: open sessions while 2,000 bad logins a second come.

Open sessions are pgbench's, as fast as they go. Three conditions take turns: quiet; the same connections against a
listener that drops them (what the flood's client itself costs the machine); the flood. Printed are medians.
"""

import argparse
import http.server
import json
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median, quantiles

import psutil
from joserfc.jwk import ECKey, RSAKey
from tests.identity.fakes import sign
from tests.real.served import AUDIENCE, serving
from tests.real.servers import postgres_15

from bench.stack import _SETTINGS, DATABASE, USER, System, _fill

RATE = 2000
CLIENTS = 8
TICKS = 100


class Keys(http.server.BaseHTTPRequestHandler):
    """An issuer's keys, and how often they were asked for."""

    body = b""
    asked = 0

    def do_GET(self) -> None:
        """The one document."""
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def passwords(issuer: str, rsa: RSAKey, ec: ECKey) -> list[str]:
    """Bad ones, of every shape."""
    claims = {"iss": issuer, "sub": "x", "aud": AUDIENCE, "exp": time.time() + 3600}
    bad = urlsafe_b64encode(secrets.token_bytes(64)).rstrip(b"=").decode()
    forged = sign({"alg": "ES256", "kid": "ec"}, claims, ec).rpartition(".")[0] + "." + bad
    return [
        forged,
        sign({"alg": "RS256", "kid": "rsa"}, claims, RSAKey.generate_key(2048), "RS256"),
        *(sign({"alg": "ES256", "kid": secrets.token_hex(8)}, claims, ec) for _ in range(20)),
        sign({"alg": "ES256", "kid": "ec"}, claims | {"exp": 1}, ec),
        sign({"alg": "ES256", "kid": "ec"}, claims | {"iss": "https://other.example"}, ec),
        sign({"alg": "ES256", "kid": "ec"}, claims | {"x": "y" * 11_000}, ec).rpartition(".")[0] + "." + bad,
        secrets.token_hex(400),
        f"osa_{'0' * 16}_{'A' * 43}",
    ]


def generate(port: int, sources: int, seconds: float, *, tls: bool) -> None:
    """The flood, in a process of its own; bad passwords come on standard input."""
    bad = [each.encode() for each in json.load(sys.stdin)]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    startup = b"\0\x03\0\0user\0x\0database\0orders\0\0"
    startup = (len(startup) + 4).to_bytes(4, "big") + startup
    steps: list[list[socket.socket]] = [[], []]
    number, refused, begun = 0, 0, time.monotonic()
    for tick in range(int(seconds * TICKS)):
        time.sleep(max(0.0, begun + tick / TICKS - time.monotonic()))
        for each in steps.pop(0):
            each.close()
        for each in steps[0]:
            number += 1
            password = bad[number % len(bad)]
            with suppress(OSError):
                refused += each.recv(1) == b"E"
                each.sendall(b"p" + (len(password) + 5).to_bytes(4, "big") + password + b"\0")
        new: list[socket.socket] = []
        for _ in range(RATE // TICKS):
            number += 1
            plain = socket.socket()
            plain.bind((f"127.0.1.{1 + number % sources}", 0))
            plain.settimeout(2)
            with suppress(OSError):
                plain.connect(("127.0.0.1", port))
                if tls and number % 2:
                    plain.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
                    if plain.recv(1) == b"S":
                        plain = context.wrap_socket(plain)
                plain.sendall(startup)
            plain.setblocking(False)  # noqa: FBT003 - the standard library's name for it
            new.append(plain)
        steps.append(new)
    print(json.dumps({"tried": int(seconds * TICKS) * (RATE // TICKS), "seconds": time.monotonic() - begun}))


@contextmanager
def dropping() -> Iterator[int]:
    """A listener that takes connections and drops them, in a process of its own."""
    code = (
        "import socket\ns=socket.create_server(('127.0.0.1',0),backlog=1024)\nprint(s.getsockname()[1],flush=True)\n"
        "while True: s.accept()[0].close()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def pgbench(program: Path, system: System, seconds: int) -> tuple[float, float, float]:
    """Queries a second; milliseconds of the median and of 99 in a hundred."""
    with tempfile.TemporaryDirectory() as home:
        command = [program, "-n", "-S", "-M", "prepared", "-T", seconds, "-c", CLIENTS, "-j", 1, "-l"]
        command += ["--log-prefix", f"{home}/log"]
        environment = system.environment(tls=False)
        subprocess.run([*map(str, command)], env=environment, capture_output=True, check=True, timeout=60 + seconds)
        lines = [line.split() for log in Path(home).iterdir() for line in log.read_text().splitlines()]
    times = sorted(int(line[2]) / 1000 for line in lines)
    return len(times) / seconds, median(times), quantiles(times, n=100)[98]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.login_flood", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--generate", nargs=4, metavar=("PORT", "SOURCES", "SECONDS", "TLS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate:
        port, sources, seconds, tls = map(int, options.generate)
        generate(port, sources, seconds, tls=bool(tls))
        return
    rounds, seconds = (1, 4) if options.quick else (3, 8)
    rsa, ec = RSAKey.generate_key(2048, {"kid": "rsa"}), ECKey.generate_key("P-256", {"kid": "ec"})
    Keys.body = json.dumps({"keys": [key.as_dict(private=False) for key in (rsa, ec)]}).encode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    issuer = f'{{name: flooded, type: oidc, issuer: "{url}", audience: {AUDIENCE}, jwks_uri: "{url}/jwks"}}'
    bad = json.dumps(passwords(url, rsa, ec))
    begun = time.monotonic()
    with postgres_15(*_SETTINGS) as postgres, tempfile.TemporaryDirectory() as home, dropping() as dropped:
        _fill(postgres, 1)
        target = (postgres.host, postgres.port, DATABASE)
        with serving(Path(home), target, USER, postgres.password, issuers=[issuer]) as gateway:
            process = psutil.Process(gateway.process.pid)
            system = System("gateway", gateway.host, gateway.port, "orders", gateway.token, process)
            program = postgres.bin / "pgbench"
            for sources, tls in ((1, 0), (200, 0), (200, 1)):
                found: dict[str, list[tuple[float, float, float]]] = {"quiet": [], "control": [], "flood": []}
                for _ in range(rounds):
                    for condition, port in (("quiet", 0), ("control", dropped), ("flood", gateway.port)):
                        flood = None
                        if port:
                            wanted = map(str, (port, sources, seconds + 2, tls))
                            command = [sys.executable, "-m", "bench.login_flood", "--generate", *wanted]
                            pipe = subprocess.PIPE
                            flood = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
                            assert flood.stdin is not None
                            flood.stdin.write(bad)
                            flood.stdin.close()
                            time.sleep(1)
                        found[condition].append(pgbench(program, system, seconds))
                        if flood is not None:
                            flood.wait(60)
                print(f"{sources} source{'s' * (sources > 1)}, {'half with TLS' if tls else 'without TLS'}")
                for name, taken in found.items():
                    speed, middle, slow = (median(each[index] for each in taken) for index in range(3))
                    print(f"  {name:8} {speed:8.0f} queries/s   p50 {middle:6.2f} ms   p99 {slow:6.2f} ms")
    print(f"keys were asked for {Keys.asked} times in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
