"""How the tour is shown: for people line by line, for programs a JSON object a step."""

import json
import os
import shlex
import shutil
import signal
import sys
import time

import psycopg
from rich.console import Console
from rich.status import Status
from rich.text import Text

from ostiary.core import printable
from ostiary.demo.interrupt import interruptible
from ostiary.demo.stage import Stage, raised_stage
from ostiary.demo.tour import STEPS, Observed, StepFailed

_INTERRUPTED = 130


def main(*, once: bool, as_json: bool) -> int:
    """Run the tour; returns the exit code."""
    progress = _Progress()
    staying = False
    try:
        with interruptible(), progress, raised_stage(progress.tell) as stage:
            for number, step in enumerate(STEPS, 1):
                progress.tell(f"step {number} of {len(STEPS)}")
                began = time.monotonic()
                seen = step(stage)
                progress.clear()
                (_print_json if as_json else _print)(number, seen, time.monotonic() - began)
            if not once and not as_json:
                staying = True
                _stay(stage)
    except KeyboardInterrupt:
        return 0 if staying else _INTERRUPTED
    except StepFailed as error:
        progress.fail(f"the demo did not see what it promises: {error}")
        return 1
    except (RuntimeError, OSError, psycopg.Error) as error:
        progress.fail(f"the demo could not run: {error}")
        return 1
    return 0


class _Progress:
    """What is being waited for, on standard error: one line that moves on a terminal, a line each elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._status: Status | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.clear()

    def tell(self, what: str) -> None:
        """This takes a moment."""
        if not self._console.is_terminal:
            self._console.print(f"{what} …")
        elif self._status is None:
            self._status = self._console.status(f"{what} …")
            self._status.start()
        else:
            self._status.update(f"{what} …")

    def clear(self) -> None:
        """Nothing is being waited for."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def fail(self, message: str) -> None:
        """Why there is no more."""
        self._console.print(Text.assemble(("error: ", "red"), *_multiline(message)), soft_wrap=True)


def _multiline(message: str) -> list[str]:
    return ["\n".join(printable(line) for line in message.splitlines())]


def _print_json(number: int, seen: Observed, seconds: float) -> None:
    del number
    told = {"step": seen.step, "title": seen.title, "seconds": round(seconds, 3), "observed": seen.facts}
    sys.stdout.write(json.dumps(told, default=str) + "\n")
    sys.stdout.flush()


def _print(number: int, seen: Observed, seconds: float) -> None:
    out = _out()
    out.print(Text.assemble("\n", (f"{number}. {seen.title}", "bold"), (f"  {seconds:.1f} s", "dim")))
    named = any(who for who, _ in seen.lines)
    for who, what in seen.lines:
        lead = f"{who:>10}  " if named else "    "
        text = what.lstrip(" ")
        lead += " " * (len(what) - len(text))
        # What does not fit a line goes on below its own beginning.
        for number, line in enumerate(Text(printable(text)).wrap(out, max(20, out.width - len(lead)))):
            out.print(Text.assemble((" " * len(lead) if number else lead, "dim"), line), soft_wrap=True)


def _out() -> Console:
    """Lines in a pipe or a file stay whole."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000)


def _stay(stage: Stage) -> None:
    """Print ready-to-paste lines and wait for Ctrl-C."""
    home = stage.gateway.home
    for name, token in (("shop", stage.shop), ("report", stage.report), ("dba", stage.dba)):
        path = home / f"{name}.token"
        path.touch(mode=0o600)
        path.write_bytes(token.reveal())
    (home / "env").write_text(
        f"# The demo's settings for a shell.\nD={home}\nexport OSTIARY_CONFIG=$D/ostiary.yaml\n"
        f'ostiary() {{ {shlex.quote(sys.executable)} -m ostiary "$@"; }}\n'
    )
    where = f"host=127.0.0.1 port={stage.gateway.port} dbname=orders user=anything"
    tls = "sslmode=verify-full sslrootcert=$D/gateway.crt"
    if shutil.which("psql"):
        client = f'PGPASSWORD=$(cat $D/shop.token) psql "{where} {tls}"'
    else:
        program = "import psycopg, sys; print(*psycopg.connect(sys.argv[1]).execute(sys.argv[2]), sep=chr(10))"
        python = f"PGPASSWORD=$(cat $D/shop.token) {shlex.quote(sys.executable)} -c '{program}' "
        client = python + f'"{where} {tls}" "TABLE customers"'
    out = _out()
    out.print(Text("\nIt stays up. In another terminal (sh, bash, zsh):\n", "bold"))
    for line in (
        f". {home}/env",
        client,
        "",
        "    SELECT * FROM customers LIMIT 5;   -- masked",
        "    DELETE FROM orders;                -- refused",
        "    CREATE TABLE public.notes (a int); -- waits for the dba",
        "",
        f". {home}/env",
        "ostiary approvals list",
        "ostiary approvals approve --token-file $D/dba.token CODE",
        "ostiary sessions list",
        "ostiary sessions replay SESSION",
        "ostiary audit verify",
        "ostiary policy explain --target orders --principal local:shop-api \\",
        '    --group service/shop-api --sql "DELETE FROM public.orders"',
    ):
        # As it is, without a line break of ours: it is there to be pasted.
        out.print(Text(f"  {line}"), soft_wrap=True)
    out.print(Text("\nCtrl-C stops it and removes everything it made.", "bold"))
    signal.pause()
