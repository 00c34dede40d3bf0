"""The person's own browser, where this machine has one to show."""

import subprocess
import sys
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: They would take the terminal over, and run no script that a login page may need.
_OF_TERMINALS: Final = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
_OPEN: Final = "import sys, webbrowser; webbrowser.open(sys.argv[1])"
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def find(environment: Mapping[str, str]) -> bool:
    """Is there one: what BROWSER names, else that of the desktop?"""
    graphical = sys.platform in ("darwin", "win32") or any(environment.get(name) for name in _DISPLAYS)
    if not (graphical or environment.get("BROWSER")):
        return False
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    name = Path((environment.get("BROWSER") or str(getattr(found, "name", ""))).partition(" ")[0]).name
    return name not in _OF_TERMINALS


def show(url: str, environment: Mapping[str, str]) -> None:
    """Have it go there, and don't wait: some run until they are closed.

    It is a process of its own, which has no token in its environment, says nothing here, and outlives Ctrl-C.
    """
    threading.Thread(
        target=subprocess.run,
        args=([sys.executable, "-I", "-c", _OPEN, url],),
        kwargs={
            "env": {name: value for name, value in environment.items() if name != "OSTIARY_TOKEN"},
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "start_new_session": True,
            "check": False,
        },
        daemon=True,
    ).start()
