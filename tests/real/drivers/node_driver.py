"""node-postgres: the script is `node_driver.mjs`; this runs it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.real.drivers.corpus import ERRORS, LITERALS, SETUP
from tests.real.drivers.script import Endpoint
from tests.real.servers import unavailable

_REAL = Path(__file__).parents[1]


def run(to: Endpoint) -> list[tuple[str, Any]]:
    """The script. Skips, or fails with CI=true, where there is no node."""
    node = shutil.which("node")
    if node is None or not (_REAL / "node_modules" / "pg").exists():
        unavailable("node-postgres is not installed (npm ci --prefix tests/real)")
    told = {
        "host": to.host,
        "port": to.port,
        "user": to.user,
        "database": to.database,
        "ca": to.ca,
        "setup": SETUP,
        "errors": ERRORS,
        "literals": LITERALS,
    }
    done = subprocess.run(
        [node, str(_REAL / "drivers" / "node_driver.mjs")],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PGPASSWORD": to.password},
    )
    if done.returncode:
        raise RuntimeError(f"node failed: {done.stderr[-2000:]}")
    return [(name, value) for name, value in json.loads(done.stdout)]
