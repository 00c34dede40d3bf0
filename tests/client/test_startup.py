"""What a local client asks for, and what the gateway is asked for in its name."""

import pytest

from ostiary.client.startup import Startup

V3 = 3 << 16


def packed(*pairs: tuple[str, str]) -> bytes:
    """Parameters of a StartupMessage."""
    return b"".join(f"{name}\0{value}\0".encode() for name, value in pairs) + b"\0"


def unpacked(packet: bytes) -> tuple[int, list[tuple[str, str]]]:
    """Version and parameters of a whole packet."""
    assert int.from_bytes(packet[:4], "big") == len(packet)
    parts = packet[8:-2].decode().split("\0")
    return int.from_bytes(packet[4:8], "big"), list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    ("target", "asked", "got"),
    [
        ("orders", None, "orders"),
        ("orders", "me", "orders"),
        ("orders", "orders", "orders"),
        ("orders", "archive", "orders/archive"),
        ("orders", "orders/archive", "orders/archive"),
        ("orders", "orders2", "orders/orders2"),
        ("orders/archive", None, "orders/archive"),
        ("orders/archive", "orders", "orders"),
        ("orders/archive", "other", "orders/other"),
        ("orders", "payments/x", "orders/payments/x"),
    ],
)
def test_the_database_stays_behind_the_target(target: str, asked: str | None, got: str) -> None:
    """No name that a client gives leads to another target."""
    database = [] if asked is None else [("database", asked)]
    startup = Startup.read(V3, packed(("user", "me"), *database, ("application_name", "x")))
    version, parameters = unpacked(startup.for_gateway(target))
    assert version == V3
    assert parameters == [("user", "ostiary"), ("database", got), ("application_name", "x")]


def test_the_version_and_everything_else_is_the_clients() -> None:
    """Protocol 3.2 and its extensions are for the gateway to answer."""
    startup = Startup.read(V3 + 2, packed(("user", "oauthbearer"), ("_pq_.x", "1"), ("options", "-c a=b")))
    version, parameters = unpacked(startup.for_gateway("orders"))
    assert version == V3 + 2
    assert parameters[2:] == [("_pq_.x", "1"), ("options", "-c a=b")]
    assert parameters[0] == ("user", "ostiary")


@pytest.mark.parametrize(
    "body", [b"", b"user", b"user\0", b"user\0me", b"user\0me\0", b"user\0\0", b"\0me\0\0", b"a\0b\0\0c\0d\0\0", b"x"]
)
def test_malformed_packets_are_refused(body: bytes) -> None:
    """Parameters are pairs that end where the packet ends, and have names."""
    with pytest.raises(ValueError, match="malformed"):
        Startup.read(V3, body)


@pytest.mark.parametrize("code", [0, 2 << 16, 4 << 16, 80877104 << 1])
def test_other_protocols_are_refused(code: int) -> None:
    """Only version 3."""
    with pytest.raises(ValueError, match="not supported"):
        Startup.read(code, b"\0")


def test_no_parameters_at_all() -> None:
    """The gateway gets a target all the same."""
    assert unpacked(Startup.read(V3, b"\0").for_gateway("orders"))[1] == [("user", "ostiary"), ("database", "orders")]
