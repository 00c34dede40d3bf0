"""The proof: base64 of a JSON object in the form that Vault's AWS method made usual, taken apart without believing it.

`iam_http_request_method` is text; `iam_request_url`, `iam_request_body` and `iam_request_headers` are base64. The
headers are a JSON object of names to a text, or to a list of one; `Authorization` has an AWS Signature Version 4.
"""

import binascii
import calendar
import hashlib
import re
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ostiary.gate.ports import Refused
from ostiary.identity.refuse import refused
from ostiary.identity.strict_json import load_json

MAX_PROOF_BYTES: Final = 16 * 1024
BODY: Final = b"Action=GetCallerIdentity&Version=2011-06-15"
SERVER_ID: Final = "x-ostiary-server-id"

_FIELDS: Final = {"iam_http_request_method", "iam_request_url", "iam_request_body", "iam_request_headers"}
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]{1,32})/sts/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9-]+(;[a-z0-9-]+)*), ?Signature=[0-9a-f]{64}"
)
_DATE: Final = re.compile(r"([0-9]{8})T([0-9]{6})Z")
#: What each header that was signed must look like. No other header may be signed: it could change what STS does.
_SIGNED: Final[Mapping[str, re.Pattern[str]]] = {
    "host": re.compile(r"[a-z0-9.-]{1,253}"),
    SERVER_ID: re.compile(r"[!-~]{1,255}"),
    "x-amz-date": _DATE,
    "x-amz-security-token": re.compile(r"[A-Za-z0-9+/=_-]{1,8192}"),
    "x-amz-content-sha256": re.compile(hashlib.sha256(BODY).hexdigest()),
    "content-type": re.compile(r"(?i)application/x-www-form-urlencoded(; ?charset=utf-8)?"),
    "content-length": re.compile(str(len(BODY))),
}
_NEEDED: Final = ("host", SERVER_ID, "x-amz-date")
_HINT: Final = "sign a POST of sts:GetCallerIdentity as docs/identity.md shows, and pass it unchanged"


@dataclass(frozen=True, slots=True, repr=False)
class SignedRequest:
    """What of the proof is worth asking STS about."""

    host: str
    #: As in the signature's scope.
    region: str
    server_id: str
    #: Unix seconds at which it was signed.
    signed_at: float
    #: `Authorization`, and the headers that were signed; names in lower case.
    headers: Mapping[str, str]


def is_proof(token: bytes) -> bool:
    """Is it base64 of something that begins with "{"? A JWT has dots."""
    return token[:1] == b"e" and b"." not in token


def parse_proof(token: bytes) -> SignedRequest:
    """Raises Refused."""
    if len(token) > MAX_PROOF_BYTES:
        raise refused(f"it is longer than {MAX_PROOF_BYTES // 1024} KiB", _HINT)
    fields = _object(token, "signed request")
    if set(fields) != _FIELDS or not all(isinstance(value, str) for value in fields.values()):
        raise refused("it is not a signed request with its four fields", _HINT)
    values = {name: str(value) for name, value in fields.items()}
    if values["iam_http_request_method"] != "POST":
        raise refused("the signed request is not a POST", _HINT)
    if _decoded(values["iam_request_body"].encode(), "body") != BODY:
        raise refused("the signed request's body is not that of GetCallerIdentity", _HINT)
    headers = _headers(values["iam_request_headers"].encode())
    authorization = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if authorization is None:
        raise refused("the signed request has no signature of version 4 for STS in its Authorization", _HINT)
    names = authorization["signed"].split(";")
    for name in names:
        pattern = _SIGNED.get(name)
        if pattern is None or pattern.fullmatch(headers.get(name, "")) is None:
            raise refused("the signed request signs a header that it must not, or one with another value", _HINT)
    if any(name not in names for name in _NEEDED) or len(set(names)) != len(names):
        raise refused(f"the signed request does not sign each of {', '.join(_NEEDED)} once", _HINT)
    if "x-amz-security-token" in headers and "x-amz-security-token" not in names:
        raise refused("the signed request does not sign its security token", _HINT)
    host, date = headers["host"], headers["x-amz-date"]
    if _decoded(values["iam_request_url"].encode(), "URL") not in (
        f"https://{host}/".encode(),
        f"https://{host}".encode(),
    ):
        raise refused("the signed request's URL is not that of its host alone", _HINT)
    if date[:8] != authorization["day"]:
        raise refused("the signed request's date is not the day of its signature", _HINT)
    return SignedRequest(
        host,
        authorization["region"],
        headers[SERVER_ID],
        _seconds(date),
        {name: headers[name] for name in ("authorization", *names)},
    )


def _headers(encoded: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _object(encoded, "headers").items():
        only = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(only, str) or not only.isascii() or not only.isprintable() or name.lower() in found:
            raise refused("the signed request's headers are not one printable text each", _HINT)
        found[name.lower()] = only
    return found


def _object(encoded: bytes, what: str) -> dict[str, object]:
    try:
        value = load_json(_decoded(encoded, what))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise refused(f"its {what} is not JSON that can be read in one way only", _HINT)
    return value


def _decoded(encoded: bytes, what: str) -> bytes:
    try:
        return b64decode(encoded, validate=True)
    except binascii.Error:
        raise _not_base64(what) from None


def _not_base64(what: str) -> Refused:
    return refused(f"its {what} is not base64", _HINT)


def _seconds(date: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")))
    except ValueError:
        raise refused("the signed request's date is none", _HINT) from None
