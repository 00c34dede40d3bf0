"""What is imported before a command runs: little, by `sys.modules` and not by the clock."""

import os
import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from ostiary.cli.lazy import ENTRIES
from tests.cli.kit import Desk

_HEAVY = (
    *(
        "alembic",
        "asyncio",
        "asyncpg",
        "authlib",
        "botocore",
        "cedarpy",
        "cryptography",
        "fastapi",
        "httpx2",
        "joserfc",
    ),
    *("msgspec", "pydantic", "sqlalchemy", "structlog", "uvicorn", "yaml", "ostiary.control", "ostiary.config"),
)
_RUN = """\
import sys
from ostiary.__main__ import main
sys.argv[1:] = sys.argv[1].split()
try:
    main()
except SystemExit:
    pass
sys.stderr.write("\\n".join(sys.modules))
"""


def loaded(arguments: str, **variables: str) -> set[str]:
    """Modules of a fresh process that ran this."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    assert done.stdout
    return set(done.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "variables", "more"),
    [
        ("--version", {}, ("rich",)),
        ("--help", {}, ()),
        ("", {"_OSTIARY_COMPLETE": "complete_bash", "COMP_WORDS": "ostiary se", "COMP_CWORD": "1"}, ("rich",)),
    ],
    ids=["version", "help", "completion"],
)
def test_nothing_heavy_is_imported(arguments: str, variables: dict[str, str], more: tuple[str, ...]) -> None:
    """Neither a room of the gateway nor a library that takes its time."""
    assert sorted(loaded(arguments, **variables) & {*_HEAVY, *more}) == []


def test_the_list_says_what_the_commands_say(desk: Desk) -> None:
    """Each entry has its command, and a line of help that is the command's own."""
    group = get_command(desk.app)
    assert isinstance(group, TyperGroup)
    for name, entry in ENTRIES.items():
        assert (group.commands[name].name, group.commands[name].help) == (name, entry.help)
    assert "nonsense" not in group.commands
