"""Ambient identities that are asked over a socket: each fake answers the documented request and nothing else."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from spiffe._proto import workload_pb2, workload_pb2_grpc

from ostiary.client import requests
from ostiary.client.sources import Kind, NoIdentity, Surroundings, Wanted, find
from ostiary.core import Secret
from tests.client.kit import jwt, surroundings
from tests.real.endpoint import Endpoint, serving

WANTED = Wanted("api://gate way&x=1")
TOKEN = jwt(aud=WANTED.audience)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """It runs, and a proxy is in the environment that nothing on this machine may be asked through."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving() as made:
        yield made


def github(endpoint: Endpoint) -> Surroundings:
    """A job on GitHub."""
    return surroundings(
        {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://{endpoint.host}/_apis/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
        }
    )


async def refused(here: Surroundings, wanted: Wanted = WANTED) -> str:
    """Everything that is said where there is no token."""
    with pytest.raises(NoIdentity) as caught:
        await find(wanted, here)
    said = f"{caught.value} {caught.value.hint} {caught.value.looked}"
    assert "request-token" not in said
    assert TOKEN not in said
    return said


async def test_github(endpoint: Endpoint) -> None:
    """The audience is appended to the URL's own query; the request token is the bearer."""
    endpoint.body = json.dumps({"count": 1, "value": TOKEN}).encode()
    assert (await find(WANTED, github(endpoint))).secret == Secret(TOKEN)
    ((path, query, headers),) = endpoint.asked
    assert (path, query) == ("/_apis/token", {"api-version": ["2.0"], "audience": [WANTED.audience]})
    assert headers["Authorization"] == "bearer request-token"


async def test_google(endpoint: Endpoint) -> None:
    """The identity endpoint with its flavour, in both directions."""
    endpoint.body, endpoint.headers = TOKEN.encode(), {"Metadata-Flavor": "Google"}
    here = surroundings({"GCE_METADATA_HOST": endpoint.host})
    assert (await find(WANTED, here)).secret == Secret(TOKEN)
    ((path, query, headers),) = endpoint.asked
    assert path == "/computeMetadata/v1/instance/service-accounts/default/identity"
    assert query == {"audience": [WANTED.audience], "format": ["full"]}
    assert headers["Metadata-Flavor"] == "Google"
    endpoint.headers = {}
    assert "no Metadata-Flavor header" in await refused(here)


async def test_azure_metadata_on_its_machines(endpoint: Endpoint, tmp_path: Path) -> None:
    """Asked where the firmware says that this is one; the audience is the resource."""
    application = "0b1f2e3d-0000-4000-8000-000000000001"
    wanted = Wanted(f"api://{application}")
    token = jwt(aud=application)
    endpoint.body = json.dumps({"access_token": token, "token_type": "Bearer"}).encode()
    chassis = tmp_path / "sys/class/dmi/id/chassis_asset_tag"
    here = replace(surroundings({"AZURE_CLIENT_ID": "mine"}, tmp_path), imds=f"http://{endpoint.host}")
    assert "this is no machine of Azure's" in await refused(here, wanted)
    chassis.parent.mkdir(parents=True)
    chassis.write_text("7783-7084-3265-9085-8269-3286-77\n")
    assert (await find(wanted, here)).secret == Secret(token)
    ((path, query, headers),) = endpoint.asked
    assert path == "/metadata/identity/oauth2/token"
    assert query == {"api-version": ["2018-02-01"], "resource": [wanted.audience], "client_id": ["mine"]}
    assert headers["Metadata"] == "true"


async def test_azure_app_service(endpoint: Endpoint) -> None:
    """The endpoint and the header that App Service puts into the environment."""
    endpoint.body = json.dumps({"access_token": TOKEN}).encode()
    here = surroundings({"IDENTITY_ENDPOINT": f"http://{endpoint.host}/msi/token", "IDENTITY_HEADER": "guard"})
    assert (await find(WANTED, here)).secret == Secret(TOKEN)
    ((path, query, headers),) = endpoint.asked
    assert (path, query) == ("/msi/token", {"api-version": ["2019-08-01"], "resource": [WANTED.audience]})
    assert headers["X-IDENTITY-HEADER"] == "guard"


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (403, {}, b'{"value": "x"}', "answered with status 403"),
        (302, {"Location": "http://127.0.0.1:1/stolen"}, b"", "answered with status 302"),
        (200, {}, b"<html>", "its answer has no `value`"),
        (200, {}, b'{"value": 5}', "its answer has no `value`"),
        (200, {}, b'["value"]', "its answer has no `value`"),
        (200, {}, b"[" * 200_000, "its answer has no `value`"),
        (200, {}, b'{"value": ""}', "it is empty"),
        (200, {}, b"x" * 300_000, "its answer is too large"),
        (200, {"Content-Length": "12"}, b"{", "could not be reached"),
    ],
)
async def test_answers_that_are_none(
    endpoint: Endpoint, status: int, headers: dict[str, str], body: bytes, why: str
) -> None:
    """No redirect is followed, no answer is shown, and no other source is asked in its place."""
    endpoint.status, endpoint.headers, endpoint.body = status, headers, body
    assert why in await refused(github(endpoint))
    assert len(endpoint.asked) == 1


async def test_an_answer_that_drips_is_given_up(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is bounded as a whole, not for each read."""
    monkeypatch.setattr(requests, "SECONDS", 0.5)
    endpoint.body, endpoint.pause = b" " * 1000, 0.05
    began = time.monotonic()
    assert "did not answer within" in await refused(github(endpoint))
    assert time.monotonic() - began < 3


async def test_nobody_there() -> None:
    """A refused connection is a sentence."""
    assert "could not be reached" in await refused(github(Endpoint(port=1)))


class Workload(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Answers FetchJWTSVID as the specification has it: the security header is required."""

    def __init__(self, svid: str) -> None:
        self.svid = svid
        self.audiences: list[str] = []

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name
        """One SVID, where the caller asked as it must."""
        if ("workload.spiffe.io", "true") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
        if not self.svid:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        self.audiences += request.audience
        found = workload_pb2.JWTSVID(spiffe_id="spiffe://example.org/job", svid=self.svid)
        return workload_pb2.JWTSVIDResponse(svids=[found])


@contextmanager
def workload_api(path: Path, service: Workload) -> Iterator[str]:
    """The Workload API on a Unix socket; its address."""
    server = grpc.server(ThreadPoolExecutor(2))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    address = f"unix:{path}"
    server.add_insecure_port(address)
    server.start()
    try:
        yield address
    finally:
        server.stop(0).wait()


async def test_spiffe(tmp_path: Path) -> None:
    """A JWT-SVID for the audience, over the Workload API's real gRPC socket."""
    svid = jwt(aud=["ostiary"], sub="spiffe://example.org/job", exp=time.time() + 300, iat=time.time())
    service = Workload(svid)
    with workload_api(tmp_path / "api.sock", service) as address:
        found = await find(Wanted("ostiary"), Surroundings({"SPIFFE_ENDPOINT_SOCKET": address}, time.time))
        assert found.secret == Secret(svid)
        assert service.audiences == ["ostiary"]
        service.svid = ""
        assert "gave no JWT-SVID" in await refused(surroundings({"SPIFFE_ENDPOINT_SOCKET": address}))
    gone = surroundings({"SPIFFE_ENDPOINT_SOCKET": f"unix:{tmp_path / 'none.sock'}"})
    assert "gave no JWT-SVID" in await refused(gone, Wanted("ostiary", source=Kind.SPIFFE))
