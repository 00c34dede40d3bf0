"""What a client is told, and by whom."""

from pathlib import Path

import pytest

from ostiary.client.settings import Address, Told, load
from ostiary.client.sources import Kind


def test_options_win_over_the_file(tmp_path: Path) -> None:
    """A file gives what options leave open; its paths are seen from where it is."""
    (tmp_path / "ostiary").mkdir()
    (tmp_path / "ostiary/client.yaml").write_text("gateway: gw.example.com\nca: gw.crt\ntoken_file: /t\n")
    told = load({"XDG_CONFIG_HOME": str(tmp_path)})
    assert told.address() == Address("gw.example.com", 5432, "gw.example.com", str(tmp_path / "ostiary/gw.crt"))
    assert told.wanted().file == "/t"
    mine = Told(gateway="10.0.0.1:6000", server_name="gw", source=Kind.GITHUB).over(told)
    assert mine.address() == Address("10.0.0.1", 6000, "gw", str(tmp_path / "ostiary/gw.crt"))
    assert (mine.wanted().source, mine.wanted().file) == (Kind.GITHUB, None)


def test_no_file_says_nothing_unless_it_was_named(tmp_path: Path) -> None:
    """Only a file that somebody named must be there."""
    assert load({"HOME": str(tmp_path)}) == Told()
    with pytest.raises(ValueError, match="does not exist"):
        load({"OSTIARY_CLIENT_CONFIG": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is not YAML"),
        ("verify: false", "verify"),
        ("gateway: 5", "gateway"),
        ("[]", "object"),
        ("\x00", "YAML"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(tmp_path: Path, text: str, why: str) -> None:
    """Unknown keys too: there is none that turns verification off."""
    path = tmp_path / "client.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        load({"OSTIARY_CLIENT_CONFIG": str(path)})


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("gw", "gw", 5432),
        ("gw:1", "gw", 1),
        ("[::1]", "::1", 5432),
        ("[::1]:99", "::1", 99),
        ("10.0.0.1", "10.0.0.1", 5432),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    """HOST, HOST:PORT, and IPv6 in brackets."""
    assert Told(gateway=text).address() == Address(host, port, host, None)


@pytest.mark.parametrize(
    "text", [None, "", ":5432", "gw:", "gw:0", "gw:65536", "gw:x", "https://gw", "::1", "postgres://gw:5"]
)
def test_what_is_no_address(text: str | None) -> None:
    """A sentence says what is expected."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        Told(gateway=text).address()
