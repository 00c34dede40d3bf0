"""Leaks that are known and not mended yet: docs/known-limitations.md has each. What is mended moves to the corpus."""

import pytest

from tests.real.drivers.wire import query
from tests.real.leaks.conftest import Leaks
from tests.real.leaks.ways import answers

pytestmark = pytest.mark.timeout(120)

_LISTEN = "DO $$BEGIN EXECUTE format('LISTEN %I', (SELECT email FROM people WHERE id = 1)); END$$"
#: Values can be kept where nothing is classified: here, in the session.
LEFT = [
    [_LISTEN, "COMMIT", "SELECT pg_listening_channels()"],
]


@pytest.mark.xfail(strict=True, reason="known limitation: what code kept in the session")
@pytest.mark.parametrize("texts", LEFT, ids=range(len(LEFT)))
def test_known(leaks: Leaks, texts: list[str]) -> None:
    """Shown by the server, and by the gateway."""
    steps = [query(text) for text in texts]
    with leaks.direct() as client:
        if not leaks.finder.find(answers(client, steps)):
            pytest.skip("no attack")
    with leaks.through() as client:
        assert not leaks.finder.find(answers(client, steps))
