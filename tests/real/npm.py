"""npm packages of a test, installed once beside the Python packages."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from tests.real.servers import unavailable


def installed(source: Path, script: str) -> tuple[str, Path]:
    """Path of node, and a directory with the packages of `source/package.json` and the script in it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        unavailable(f"{source.name} needs node and npm")
    cache = Path(sys.prefix) / "npm" / source.name.replace("_", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (source / "package.json").read_bytes()
        done = cache / "installed.json"
        if not done.exists() or done.read_bytes() != wanted:
            shutil.copy(source / "package.json", cache)
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
            ran = subprocess.run(command, cwd=cache, capture_output=True, check=False, timeout=240)
            if ran.returncode:
                unavailable(f"{source.name} could not be installed with npm")
            done.write_bytes(wanted)
        # Modules are looked up from where the script lies.
        shutil.copy(source / script, cache)
    return node, cache
