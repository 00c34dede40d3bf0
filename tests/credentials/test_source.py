"""Secrets are read from where the configuration says, and their errors name the place only."""

import os
from pathlib import Path

import pytest

from ostiary.core import Secret
from ostiary.credentials import EnvSource, FileSource, SecretUnavailable
from ostiary.credentials.source import MAX_BYTES

CANARY = "c4nary"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file only its owner reads."""
    path = tmp_path / "password"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return path


def test_environment_variable_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8 included; unset and empty are errors that name the variable."""
    monkeypatch.setitem(os.environb, b"OSTIARY_T", b"a\xffb \n")
    assert EnvSource("OSTIARY_T").read() == Secret(b"a\xffb \n")
    monkeypatch.setitem(os.environb, b"OSTIARY_T", b"")
    with pytest.raises(SecretUnavailable, match="OSTIARY_T is empty"):
        EnvSource("OSTIARY_T").read()
    monkeypatch.delitem(os.environb, b"OSTIARY_T")
    with pytest.raises(SecretUnavailable, match="OSTIARY_T is not set; set it"):
        EnvSource("OSTIARY_T").read()


@pytest.mark.parametrize(
    ("content", "value"), [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x ")]
)
def test_one_newline_at_the_end_of_a_file_is_not_the_secret(secret_file: Path, content: str, value: str) -> None:
    """Editors add it; anything else belongs to the secret."""
    secret_file.write_bytes(content.encode())
    assert FileSource(secret_file).read() == Secret(value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666])
def test_file_that_everyone_may_read_is_refused(secret_file: Path, mode: int) -> None:
    """The error says how to mend it, and does not quote the secret."""
    secret_file.chmod(mode)
    with pytest.raises(SecretUnavailable, match="chmod o-rwx") as caught:
        FileSource(secret_file).read()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o640])
def test_file_for_owner_or_group_is_read(secret_file: Path, mode: int) -> None:
    """A group is how a service is given a file of another owner."""
    secret_file.chmod(mode)
    assert FileSource(secret_file).read() == Secret(CANARY)


def test_what_is_no_secret_is_refused(tmp_path: Path, secret_file: Path) -> None:
    """Missing, empty, huge, a folder, a pipe: each an error that names the file, none a hang."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "a directory"), (pipe, "not a regular")):
        with pytest.raises(SecretUnavailable, match=why) as caught:
            FileSource(path).read()
        assert str(path) in str(caught.value)
    secret_file.write_text("\n")
    with pytest.raises(SecretUnavailable, match="is empty"):
        FileSource(secret_file).read()
    secret_file.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(SecretUnavailable, match="is larger than"):
        FileSource(secret_file).read()
