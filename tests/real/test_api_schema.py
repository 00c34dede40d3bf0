"""The API against its own OpenAPI document: whatever schemathesis thinks of sending, the answer is one it promises."""

import ssl
from collections.abc import Iterator
from typing import Any, cast

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from ostiary.api.app import application
from ostiary.api.models.gateway import Version
from ostiary.control.gateway import GatewayControl
from tests.real.servers import PostgresServer
from tests.real.serving import Served, running

DATABASE = "apischema"


@pytest.fixture(scope="module")
def served(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that has seen a session."""
    with running(postgres15, tmp_path_factory.mktemp("schema") / "home", DATABASE) as served:
        with served.connect() as connection:
            connection.execute("SELECT email FROM people")
        yield served
    said = served.log.read_text()
    assert "Traceback" not in said
    assert not served.events("api: a request failed"), said


async def _ready() -> bool:
    return True


#: What the gateway serves; it depends on nothing that it runs on.
DOCUMENT = application(cast("GatewayControl", None), Version(version="0", node="n"), _ready).openapi()
OPERATIONS: dict[str, Any] = {
    found.ok().label: found.ok()
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
    if isinstance(found, Ok)
}


def test_the_document_is_the_one_that_is_served(served: Served) -> None:
    """So the operations below are all there are."""
    assert served.api("GET", "/api/v1/openapi.json", None).json() == DOCUMENT
    assert len(OPERATIONS) >= 20


@pytest.mark.parametrize("label", sorted(OPERATIONS))
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_operation_keeps_its_promise(served: Served, label: str, mode: GenerationMode) -> None:
    """Statuses, media types, headers and bodies are the documented ones; what does not fit the schema is refused."""
    token = served.token("olga", "ops", "dba").reveal_text()
    with requests.Session() as session:

        @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            case.call_and_validate(
                base_url=f"https://127.0.0.1:{served.api_port}",
                session=session,
                headers={"Authorization": f"Bearer {token}"},
                verify=str(served.home / "gateway.crt"),
                # What a schema can't say: whose cursor it is, that a reason can be printed, which members go together.
                # What comes without a good token is asked below, from an address whose failures are its own.
                excluded_checks=[positive_data_acceptance, ignored_auth],
            )

        try:
            holds()
        except Unsatisfiable:
            # There is nothing to get wrong.
            assert label in {"GET /healthz", "GET /readyz"}


@pytest.mark.parametrize("label", sorted(set(OPERATIONS) - {"GET /healthz", "GET /readyz"}))
def test_no_operation_is_for_everybody(served: Served, label: str) -> None:
    """Without a token, and with one that is none, nothing is answered but that."""
    number = 2 + sorted(OPERATIONS).index(label)
    method, path = label.split(" ", 1)
    path = path.replace("{session_id}", "5f2c").replace("{", "").replace("}", "")
    for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}):
        transport = httpx2.HTTPTransport(
            verify=ssl.create_default_context(cafile=str(served.home / "gateway.crt")),
            local_address=f"127.0.2.{number}",
        )
        with httpx2.Client(transport=transport) as client:
            answer = client.request(method, f"https://127.0.0.1:{served.api_port}{path}", headers=headers)
        assert answer.status_code == 401, answer.text
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
