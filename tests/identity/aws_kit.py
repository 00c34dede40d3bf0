"""Requests signed by botocore, and an STS that verifies them as AWS does."""

import json
import time
from base64 import b64decode, b64encode
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ostiary.core import Principal, Proof, Secret
from ostiary.identity import AwsIssuer, Identities
from ostiary.identity.aws.sts import Answer
from tests.identity.fakes import Web

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
ACCOUNT = "012345678901"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/i-0abc"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "not-a-real-key", "a-session-token")

ANSWER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>AROACLKWSDQRAOEXAMPLE:i-0abc</UserId>
    <Account>{account}</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
"""


def answer(arn: str = ROLE, account: str = ACCOUNT) -> str:
    """As STS writes it."""
    return ANSWER.format(arn=arn, account=account)


def fields(
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    url: str = "https://sts.amazonaws.com/",
    region: str = "us-east-1",
    body: str = BODY,
    service: str = "sts",
    keys: Credentials = KEYS,
) -> dict[str, Any]:
    """The four fields, with plain values; these headers are signed besides the usual ones."""
    named = {"Content-Type": FORM, "X-Ostiary-Server-ID": "gw.example.com", **(headers or {})}
    request = AWSRequest(method, url, headers={name: value for name, value in named.items() if value}, data=body)
    SigV4Auth(keys, service, region).add_auth(request)
    sent = dict(request.headers.items())
    sent.setdefault("Host", url.split("/")[2])
    return {
        "iam_http_request_method": method,
        "iam_request_url": url,
        "iam_request_body": body,
        "iam_request_headers": sent,
    }


def packed(values: Mapping[str, Any]) -> str:
    """The proof, as Vault's clients write it."""
    headers = values["iam_request_headers"]
    text = headers if isinstance(headers, str) else json.dumps(headers)
    encoded = {name: b64encode(str(values[name]).encode()).decode() for name in ("iam_request_url", "iam_request_body")}
    return b64encode(
        json.dumps({**values, **encoded, "iam_request_headers": b64encode(text.encode()).decode()}).encode()
    ).decode()


def signed(headers: Mapping[str, str] | None = None, **more: Any) -> str:
    """A proof."""
    return packed(fields(headers, **more))


def unpacked(proof: str) -> dict[str, Any]:
    """Plain values of a proof."""
    values: dict[str, Any] = json.loads(b64decode(proof))
    for name in ("iam_request_url", "iam_request_body"):
        values[name] = b64decode(values[name]).decode()
    values["iam_request_headers"] = json.loads(b64decode(values["iam_request_headers"]))
    return values


@dataclass
class FakeSts:
    """Computes the signature over what it was asked, as AWS does, and answers with what it is told to."""

    says: str | bytes | Exception = field(default_factory=answer)
    status: int = 200
    content_type: str = "text/xml"
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def ask(self, host: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append((host, dict(headers)))
        if isinstance(self.says, Exception):
            raise self.says
        if not self.verifies(host, headers):
            return Answer(403, "text/xml", b"<ErrorResponse/>")
        body = self.says if isinstance(self.says, bytes) else self.says.encode()
        return Answer(self.status, self.content_type, body)

    @staticmethod
    def verifies(host: str, headers: Mapping[str, str], body: str = BODY) -> bool:
        """Is the signature that of these very headers and this body?"""
        scope = headers["authorization"].split("Credential=")[1].split(",")[0].split("/")
        names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        request = AWSRequest(
            "POST", f"https://{host}/", headers={name: headers[name] for name in names if name in headers}, data=body
        )
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(KEYS, scope[3], scope[2])
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return bool(headers["authorization"].endswith(f"Signature={signer.signature(text, request)}"))


class AwsWorld:
    """One issuer, STS, and a clock that stands where requests are signed."""

    def __init__(self, *issuers: AwsIssuer, **settings: Any) -> None:
        self.now = time.time()
        self.sts = FakeSts()
        good = {"name": "aws", "audiences": ("gw.example.com",), "bind": {"account": ACCOUNT}, **settings}
        self.identity = Identities(issuers or (AwsIssuer(**good),), Web(), lambda: self.now, sts=self.sts)

    async def identify(self, token: str, *, encrypted: bool = True) -> Principal:
        """What the gate would do."""
        return await self.identity.identify(Proof(Secret(token), "orders", "10.0.0.9:4000", encrypted, loopback=False))


def signed_at(proof: str) -> float:
    """Unix seconds that were signed."""
    date = unpacked(proof)["iam_request_headers"]["X-Amz-Date"]
    return float(timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")))
