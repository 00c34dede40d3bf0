"""The person's own browser, where this machine has one to show."""

import sys
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: They would take the terminal over, and run no script that a login page may need.
_OF_TERMINALS: Final = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
_DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


def find(environment: Mapping[str, str]) -> webbrowser.BaseBrowser | None:
    """What BROWSER names, else that of the desktop; None where there is no desktop."""
    graphical = sys.platform in ("darwin", "win32") or any(environment.get(name) for name in _DISPLAYS)
    if not (graphical or environment.get("BROWSER")):
        return None
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return None
    name = Path((environment.get("BROWSER") or str(getattr(found, "name", ""))).partition(" ")[0]).name
    return None if name in _OF_TERMINALS else found


def show(browser: webbrowser.BaseBrowser, url: str) -> None:
    """Have it go there, and don't wait: some run until they are closed."""
    threading.Thread(target=browser.open, args=(url,), daemon=True).start()
