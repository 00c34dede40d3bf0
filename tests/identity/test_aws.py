"""Signed requests as proofs: botocore signs, an STS verifies; what CVE-2020-16250 did, and its kin, is refused."""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials

from ostiary.core import PrincipalKind
from ostiary.gate.ports import Refused
from ostiary.identity import AwsIssuer, Identities, OidcIssuer
from ostiary.identity.aws.proof import BODY
from ostiary.identity.aws.service import MAX_ASKING
from ostiary.identity.aws.sts import Answer, StsUnavailable
from tests.identity.aws_kit import ACCOUNT, KEYS, ROLE, AwsWorld, FakeSts, answer, fields, packed, signed, signed_at
from tests.identity.fakes import Web

PAGE = Path(__file__).parent.parent.parent / "docs/identity.md"


async def refusal(world: AwsWorld, proof: str) -> str:
    """The message this proof is refused with; it has a next step."""
    with pytest.raises(Refused) as caught:
        await world.identify(proof)
    assert caught.value.refusal.hint
    return caught.value.refusal.message


async def test_a_role_is_a_principal() -> None:
    """The subject is the role, without the session's name; STS was asked for nothing but who it is."""
    world = AwsWorld(regions=("eu-central-1",))
    for host, region in (("sts.amazonaws.com", "us-east-1"), ("sts.eu-central-1.amazonaws.com", "eu-central-1")):
        proof = signed(url=f"https://{host}/", region=region)
        principal = await world.identify(proof)
        assert principal.id == f"aws:arn:aws:iam::{ACCOUNT}:role/deploy"
        assert principal.kind is PrincipalKind.WORKLOAD
        assert principal.groups == {f"aws/{ACCOUNT}", f"aws-role/{ACCOUNT}/deploy"}
        assert principal.claims == {"account": ACCOUNT, "role": "deploy", "session": "i-0abc"}
        assert principal.expires_at == signed_at(proof) + 300
        assert principal.session_until == world.now + 3600
        assert proof not in repr(principal)
        asked, headers = world.sts.asked[-1]
        assert asked == host
        assert set(headers) == {
            *("authorization", "content-type", "host", "x-amz-date", "x-amz-security-token", "x-ostiary-server-id")
        }


async def test_a_user_is_a_principal() -> None:
    """With the path that belongs to the name."""
    world = AwsWorld()
    world.sts.says = answer(f"arn:aws:iam::{ACCOUNT}:user/ops/jane")
    principal = await world.identify(signed())
    assert principal.subject == f"arn:aws:iam::{ACCOUNT}:user/ops/jane"
    assert principal.groups == {f"aws/{ACCOUNT}", f"aws-user/{ACCOUNT}/ops/jane"}


async def test_what_other_signers_sign_passes() -> None:
    """A length, a digest, no session token; headers that are not signed are not sent."""
    digest = "ab821ae955788b0e33ebd34c208442ccfc2d406e2edc5e7a39bd6458fbb4f843"
    for extra in ({"Content-Length": str(len(BODY))}, {"X-Amz-Content-SHA256": digest}, {"Content-Type": ""}):
        world = AwsWorld()
        values = fields(extra)
        values["iam_request_headers"] |= {"User-Agent": "x", "Accept": "application/json"}
        assert await world.identify(packed(values))
        assert not {"user-agent", "accept"} & set(world.sts.asked[0][1])
    values = fields()
    values["iam_request_headers"] = {name: [value] for name, value in values["iam_request_headers"].items()}
    assert await AwsWorld().identify(packed(values))


def changed(**values: Any) -> str:
    """A good proof with other fields, after it was signed."""
    return packed({**fields(), **values})


def headers(**values: str | None) -> str:
    """A good proof with other headers, after it was signed."""
    good = fields()["iam_request_headers"]
    other = {**good, **{name.replace("_", "-"): value for name, value in values.items()}}
    return changed(iam_request_headers={name: value for name, value in other.items() if value is not None})


def authorization(old: str, new: str) -> str:
    """A good proof with another Authorization."""
    value = fields()["iam_request_headers"]["Authorization"]
    assert old in value
    return headers(Authorization=value.replace(old, new))


def bad_signature() -> str:
    """Sixty-four other digits."""
    value = fields()["iam_request_headers"]["Authorization"]
    return headers(Authorization=value[:-64] + "0" * 64)


URL = "the signed request's URL is not that of its host alone"
SIGNED = "the signed request signs a header that it must not, or one with another value"
BODY_SAID = "the signed request's body is not that of GetCallerIdentity"
ENDPOINT = "the request was signed for an endpoint of STS that is not asked here"
V4 = "the signed request has no signature of version 4 for STS"
ATTACKS: dict[str, tuple[Callable[[], str], str]] = {
    "GET": (lambda: signed(method="GET", body=""), "the signed request is not a POST"),
    "post": (lambda: changed(iam_http_request_method="post"), "the signed request is not a POST"),
    "another host": (lambda: signed(url="https://evil.example/"), ENDPOINT),
    "a look-alike host": (lambda: signed(url="https://sts.amazonaws.com.evil.example/"), ENDPOINT),
    "a region that is not asked": (
        lambda: signed(url="https://sts.eu-west-1.amazonaws.com/", region="eu-west-1"),
        ENDPOINT,
    ),
    "another service's host": (lambda: signed(url="https://iam.amazonaws.com/"), ENDPOINT),
    "a region that is not the host's": (lambda: signed(region="eu-central-1"), ENDPOINT),
    "a host in capitals": (lambda: headers(Host="STS.amazonaws.com"), SIGNED),
    "a host with a port": (lambda: signed(url="https://sts.amazonaws.com:444/"), SIGNED),
    "a path": (lambda: signed(url="https://sts.amazonaws.com/x"), URL),
    "a URL of another host": (lambda: changed(iam_request_url="https://evil.example/"), URL),
    "a URL with the action": (lambda: changed(iam_request_url="https://sts.amazonaws.com/?Action=AssumeRole"), URL),
    "a URL with a user": (lambda: changed(iam_request_url="https://sts.amazonaws.com@evil.example/"), URL),
    "http": (lambda: changed(iam_request_url="http://sts.amazonaws.com/"), URL),
    "another action": (lambda: signed(body="Action=AssumeRoleWithWebIdentity&Version=2011-06-15"), BODY_SAID),
    "two actions": (lambda: signed(body=f"{BODY.decode()}&Action=AssumeRole"), BODY_SAID),
    "another order": (lambda: signed(body="Version=2011-06-15&Action=GetCallerIdentity"), BODY_SAID),
    "no body": (lambda: signed(body=""), BODY_SAID),
    "a body with a newline": (lambda: signed(body=BODY.decode() + "\n"), BODY_SAID),
    "Accept is signed": (lambda: signed({"Accept": "application/json"}), SIGNED),
    "an action by header": (lambda: signed({"X-Amz-Target": "AssumeRole"}), SIGNED),
    "a forwarded host": (lambda: signed({"X-Forwarded-Host": "evil.example"}), SIGNED),
    "another type": (lambda: signed({"Content-Type": "application/json"}), SIGNED),
    "another length": (lambda: signed({"Content-Length": "1"}), SIGNED),
    "another server": (
        lambda: signed({"X-Ostiary-Server-ID": "other.example"}),
        "the request was signed for another server",
    ),
    "a server whose name begins alike": (
        lambda: signed({"X-Ostiary-Server-ID": "gw.example.com.evil"}),
        "the request was signed for another server",
    ),
    "no server": (lambda: signed({"X-Ostiary-Server-ID": ""}), "the signed request does not sign each of host"),
    "a server that is not signed": (
        lambda: packed(
            (good := fields({"X-Ostiary-Server-ID": ""}))
            | {"iam_request_headers": {**good["iam_request_headers"], "X-Ostiary-Server-ID": "gw.example.com"}}
        ),
        "the signed request does not sign each of host",
    ),
    "a server put in the place of another": (
        lambda: packed(
            (good := fields({"X-Ostiary-Server-ID": "other.example"}))
            | {"iam_request_headers": {**good["iam_request_headers"], "X-Ostiary-Server-ID": "gw.example.com"}}
        ),
        "STS does not know who signed it",
    ),
    "a header twice": (lambda: headers(host="sts.amazonaws.com"), "headers are not one printable text each"),
    "a header of two values": (lambda: headers(Host=["a", "b"]), "headers are not one printable text each"),  # type: ignore[arg-type]
    "a header with a line break": (
        lambda: headers(X_Amz_Date="a\r\nHost: b"),
        "headers are not one printable text each",
    ),
    "a header that is a number": (lambda: headers(Host=1), "headers are not one printable text each"),  # type: ignore[arg-type]
    "a header that is not ASCII": (lambda: headers(Host="sts.\u0430mazonaws.com"), "headers are not one printable"),
    "no date": (lambda: headers(X_Amz_Date=None), SIGNED),
    "a date that is none": (lambda: headers(X_Amz_Date="20261399T999999Z"), "date is not the day of its signature"),
    "another service": (lambda: signed(service="s3"), V4),
    "version 2": (lambda: headers(Authorization="AWS AKIAIOSFODNN7EXAMPLE:x"), V4),
    "version 4a": (lambda: authorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), V4),
    "no signature": (lambda: headers(Authorization=None), V4),
    "a scope with a path": (lambda: authorization("us-east-1", "../x"), V4),
    "headers signed twice": (lambda: authorization("SignedHeaders=", "SignedHeaders=host;"), "each of host"),
    "date not signed": (lambda: authorization("x-amz-date;", ""), "the signed request does not sign each of host"),
    "session token not signed": (
        lambda: authorization("x-amz-security-token;", ""),
        "the signed request does not sign its security token",
    ),
    "a changed signature": (bad_signature, "STS does not know"),
    "a stranger's key": (lambda: signed(keys=Credentials("AKIAIOSFODNN7EXAMPLE", "other")), "STS does not know"),
    "one field too many": (lambda: changed(x="y"), "it is not a signed request with its four fields"),
    "a field missing": (
        lambda: b64encode(json.dumps({"iam_http_request_method": "POST"}).encode()).decode(),
        "it is not a signed request with its four fields",
    ),
    "a field of another kind": (
        lambda: changed(iam_http_request_method=["POST"]),
        "it is not a signed request with its",
    ),
    "a field twice": (
        lambda: b64encode(b'{"iam_http_request_method":"GET","iam_http_request_method":"POST"}').decode(),
        "its signed request is not JSON",
    ),
    "headers twice": (lambda: changed(iam_request_headers='{"Host":"a","Host":"b"}'), "its headers is not JSON"),
    "headers a list": (lambda: changed(iam_request_headers="[]"), "its headers is not JSON"),
    "not base64": (lambda: "eyJ*" + signed(), "its signed request is not base64"),
    "a newline": (lambda: signed() + "\n", "its signed request is not base64"),
    "huge": (lambda: "e" * 16385, "it is longer than 16 KiB"),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_attacks_are_refused_for_their_reason(name: str) -> None:
    """Each meets its own sentence, and STS is asked only where nothing but the signature can tell."""
    make, reason = ATTACKS[name]
    world = AwsWorld()
    assert reason in await refusal(world, make())
    assert len(world.sts.asked) == (1 if reason.startswith("STS does not know") else 0)


ANSWERS: dict[str, tuple[str | bytes, str]] = {
    "JSON around the usual answer": (json.dumps({"a": answer()}), "is not its usual one"),
    "JSON with an answer inside": ('{"SubjectFromWebIdentityToken": "' + answer() + '"}', "is not its usual one"),
    "text before": ("x" + answer(), "is not its usual one"),
    "text behind": (answer() + "x", "is not its usual one"),
    "two documents": (answer() + answer(), "is not its usual one"),
    "a document type": ("<!DOCTYPE a [<!ENTITY b 'c'>]>" + answer(), "is not its usual one"),
    "a comment in the ARN": (answer(ROLE.replace("deploy", "dep<!-- -->loy")), "is not its usual one"),
    "CDATA": (answer("<![CDATA[" + ROLE + "]]>"), "is not its usual one"),
    "not UTF-8": (answer().encode().replace(b"i-0abc", b"\xff"), "is not its usual one"),
    "another action's answer": (answer().replace("GetCallerIdentity", "AssumeRole"), "is to another question"),
    "another root": (answer().replace("GetCallerIdentityResponse", "AssumeRoleResponse"), "is to another question"),
    "something more of the caller": (
        answer().replace("<Account>", "<X><y/></X><Account>"),
        "does not tell of one caller",
    ),
    "inside another answer": ("<a>" + answer() + "</a>", "is to another question"),
    "another namespace": (answer().replace("2011-06-15", "2011-06-16"), "is to another question"),
    "no namespace": (
        answer().replace(' xmlns="https://sts.amazonaws.com/doc/2011-06-15/"', ""),
        "is to another question",
    ),
    "two results": (
        answer().replace("<ResponseMetadata>", "<GetCallerIdentityResult/><ResponseMetadata>"),
        "is to another question",
    ),
    "two ARNs": (answer().replace("<Account>", f"<Arn>{ROLE}</Arn><Account>"), "does not tell of one caller"),
    "an ARN with children": (answer(f"{ROLE}<b/>"), "does not tell of one caller"),
    "no account": (answer().replace(f"<Account>{ACCOUNT}</Account>", ""), "does not tell of one caller"),
    "an error": ("<ErrorResponse/>", "is to another question"),
    "two accounts": (answer(account="999999999999"), "STS tells of two accounts"),
    "root": (answer(f"arn:aws:iam::{ACCOUNT}:root"), "neither a role nor a user"),
    "a federated user": (answer(f"arn:aws:sts::{ACCOUNT}:federated-user/deploy"), "neither a role nor a user"),
    "a role with a slash": (answer(f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b/c"), "neither a role nor a user"),
    "a space behind": (answer(ROLE + " "), "neither a role nor a user"),
    "a user of STS": (answer(f"arn:aws:sts::{ACCOUNT}:user/deploy"), "neither a role nor a user"),
    "another partition": (answer(ROLE.replace("arn:aws:", "arn:aws-cn:")), "is not of the partition that was asked"),
    "another account": (answer(ROLE.replace(ACCOUNT, "012345678902"), "012345678902"), 'its claim "account" does not'),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_that_are_not_the_usual_one_are_refused(name: str) -> None:
    """STS's word counts only in the one form that it has."""
    says, reason = ANSWERS[name]
    world = AwsWorld()
    world.sts.says = says
    assert reason in await refusal(world, signed())


async def test_answers_of_another_kind_are_refused() -> None:
    """By content type and status; what may be better soon says so."""
    for kind in ("application/json", "text/html", "", "text/xmlx"):
        world = AwsWorld()
        world.sts.content_type = kind
        assert "the answer of STS is not XML" in await refusal(world, signed())
    world = AwsWorld()
    world.sts.content_type = "text/xml; charset=utf-8"
    assert await world.identify(signed())
    for status, reason in ((302, "does not know"), (403, "does not know"), (429, "status 429"), (503, "status 503")):
        world.sts.status = status
        assert reason in await refusal(world, signed())
    world.sts.says = StsUnavailable("it could not be reached (ConnectError)")
    assert "STS is not to be had: it could not be reached (ConnectError)" in await refusal(world, signed())


async def test_a_proof_is_one_for_minutes() -> None:
    """From a clock's inaccuracy before it was signed until `max_age` behind; STS is not asked outside."""
    proof = signed()
    at = signed_at(proof)
    for offset, good in ((-31, False), (-29, True), (0, True), (89, True), (90, False), (1e6, False)):
        world = AwsWorld(max_age=60.0)
        world.now = at + offset
        if good:
            assert await world.identify(proof)
        else:
            assert "the request was not signed just now" in await refusal(world, proof)
            assert not world.sts.asked


async def test_a_changed_date_is_not_the_signed_one() -> None:
    """The date is part of the signature: nobody makes an old proof young."""
    world = AwsWorld()
    good = fields()["iam_request_headers"]["X-Amz-Date"]
    other = good[:-3] + ("00" if good[-3:-1] != "00" else "01") + "Z"
    assert "STS does not know who signed it" in await refusal(world, headers(X_Amz_Date=other))


@pytest.mark.parametrize(
    "bind",
    [{"role": "deploy-evil"}, {"role": "Deploy"}, {"session": "i-0"}, {"user": "deploy"}, {"account": "999999999999"}],
)
async def test_bindings_are_compared_whole(bind: dict[str, str]) -> None:
    """Role, session, user, account."""
    world = AwsWorld(bind={"account": ACCOUNT, **bind})
    assert "does not have a value that issuer" in await refusal(world, signed())
    world = AwsWorld(bind={"account": ("999999999999", ACCOUNT), "role": ("other", "deploy"), "session": "i-0abc"})
    assert await world.identify(signed())


async def test_china_is_another_partition() -> None:
    """Its endpoints have another ending, its ARNs another beginning, and neither passes for the other."""
    world = AwsWorld(regions=("cn-north-1", "us-gov-west-1"))
    there = signed(url="https://sts.cn-north-1.amazonaws.com.cn/", region="cn-north-1")
    assert "is not of the partition that was asked" in await refusal(world, there)
    world.sts.says = answer(ROLE.replace("arn:aws:", "arn:aws-cn:"))
    assert (await world.identify(there)).subject == f"arn:aws-cn:iam::{ACCOUNT}:role/deploy"
    assert "is not of the partition that was asked" in await refusal(world, signed())
    world.sts.says = answer(ROLE.replace("arn:aws:", "arn:aws-us-gov:"))
    assert await world.identify(signed(url="https://sts.us-gov-west-1.amazonaws.com/", region="us-gov-west-1"))


async def test_strangers_can_make_only_so_many_questions() -> None:
    """More at the same time are refused without asking; a question that hangs ends, and its place is free again."""
    world = AwsWorld()
    gate = asyncio.Event()

    class Slow(FakeSts):
        async def ask(self, host: str, headers: Any) -> Answer:
            self.asked.append((host, dict(headers)))
            await gate.wait()
            return Answer(200, "text/xml", answer().encode())

    slow = Slow()
    issuer = AwsIssuer("aws", ("gw.example.com",), {"account": ACCOUNT})
    world.identity = Identities([issuer], Web(), lambda: world.now, sts=slow)
    proof = signed()
    waiting = [asyncio.create_task(world.identify(proof)) for _ in range(MAX_ASKING)]
    await asyncio.sleep(0)
    assert "too many signed requests are being verified" in await refusal(world, proof)
    assert len(slow.asked) == MAX_ASKING
    waiting[0].cancel()
    gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(result, BaseException) for result in results) == 1
    assert await world.identify(proof)


async def test_aws_beside_oidc() -> None:
    """Each proof goes to its kind; without TLS neither is looked at; a group's name belongs to one template of all."""
    world = AwsWorld()
    oidc = OidcIssuer("ci", "https://issuer.example", ("x",), groups=("{groups}",))
    aws = AwsIssuer("aws", ("gw.example.com",), {"account": ACCOUNT})
    world.identity = Identities([oidc, aws], Web(), lambda: world.now, sts=world.sts)
    assert await world.identify(signed())
    assert "it is not a signed JWT" in await refusal(world, "hunter2")
    with pytest.raises(Refused, match="without TLS"):
        await world.identify(signed(), encrypted=False)
    with pytest.raises(ValueError, match="is another issuer's"):
        Identities([aws, AwsIssuer("b", ("gw.example.com",), {"account": ACCOUNT})], Web(), lambda: 0.0, sts=world.sts)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bind": {}}, "bind: every AWS account can sign such a request, so bind what is yours"),
        ({"bind": {"role": "deploy"}}, "bind: every AWS account can sign"),
        ({"bind": {"account": 12345678901}}, "bind: every AWS account can sign"),
        ({"bind": {"account": "acme"}}, "twelve digits, in quotes"),
        ({"bind": {"account": ACCOUNT, "arn": "x"}}, "bind: there are account, role, user, session"),
        ({"bind": {"account": ()}}, "bind: every AWS account can sign"),
        ({"audiences": ()}, "audience: name this gateway"),
        ({"audiences": ("a b",)}, "audience: name this gateway"),
        ({"audiences": "gw"}, "audiences: must be a tuple"),
        ({"regions": ("evil.example/",)}, 'regions: "evil.example/" is none'),
        ({"regions": ("eu-central-1.evil",)}, "is none; write it as in eu-central-1"),
        ({"max_age": 901.0}, "max_age: must be from 1 to 900"),
        ({"max_session": 0.0}, "max_session: must be from 1"),
        ({"groups": ("a/{role}", "a/{user}")}, "groups: two templates begin with the same text"),
    ],
)
def test_settings_that_cannot_be_meant_are_said(changes: dict[str, Any], sentence: str) -> None:
    """A sentence that names the issuer and the setting."""
    with pytest.raises(ValueError, match='issuer "aws": ') as caught:
        AwsIssuer(**{"name": "aws", "audiences": ("gw",), "bind": {"account": ACCOUNT}, **changes})
    assert sentence in str(caught.value)


async def test_the_page_shows_how_to_sign(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The code of docs/identity.md, with credentials from the environment, prints a proof that passes."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", KEYS.token)
    exec(compile(code, str(PAGE), "exec"), {})
    assert await AwsWorld(regions=("eu-central-1",)).identify(capsys.readouterr().out.strip())
