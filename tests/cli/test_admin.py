"""`ostiary admin link`."""

import json
import re

import pytest

from tests.cli.kit import Desk


@pytest.fixture(autouse=True)
def _state(desk: Desk) -> None:
    """The state store is there."""
    desk.start_state()


def test_a_link(desk: Desk) -> None:
    """Alone on standard output, another each time, in the audit log without its secret."""
    text = desk.config.read_text()
    desk.config.write_text(text.replace("listen: {", "url: https://gw.example\n  listen: {api: 127.0.0.1:0, ", 1))
    made = [desk.run("admin", "link"), desk.run("admin", "link")]
    links = [re.fullmatch(r"https://gw\.example/setup/([\w-]{43})\n", each.out) for each in made]
    assert all(each.code == 0 for each in made)
    assert "works once" in made[0].err
    secrets = [link[1] for link in links if link is not None]
    assert len(set(secrets)) == 2
    structured = json.loads(desk.run("admin", "link", "-o", "json").out)
    assert structured["link"].startswith("https://gw.example/setup/")
    logs = "".join(path.read_text() for path in (desk.home / "recordings" / "audit").iterdir())
    assert logs.count('"resource":"local-admins/admin"') == 6
    for secret in secrets:
        assert secret not in logs
        assert secret.encode() not in (desk.home / "state.db").read_bytes()


def test_where_nobody_signs_in(desk: Desk) -> None:
    """Without a URL and an API there is no page that it could lead to."""
    refused = desk.run("admin", "link")
    assert refused.code == 1
    assert "set server.url" in refused.err
