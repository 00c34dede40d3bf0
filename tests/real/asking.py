"""The command line of somebody who has no file of the gateway's: an API's address, its authority and a token."""

import os
import subprocess
import sys
from pathlib import Path

from ostiary.core import Secret
from tests.real.serving import Served


def environment(served: Served, token: Secret | None) -> dict[str, str]:
    """Of such a process."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("OSTIARY_")},
        "OSTIARY_API": f"https://127.0.0.1:{served.api_port}",
        "OSTIARY_CA": str(served.home / "gateway.crt"),
        "XDG_STATE_HOME": str(served.home / "nobody"),
        **({} if token is None else {"OSTIARY_TOKEN": token.reveal_text()}),
    }


def asked(
    served: Served, token: Secret | None, *arguments: str, code: int = 0, home: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """A command in a directory without a configuration. It must end with this exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "ostiary", *arguments],
        capture_output=True,
        text=True,
        env=environment(served, token),
        check=False,
        timeout=60,
        cwd=home or served.home / "policies",
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done
