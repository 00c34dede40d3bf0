"""What tokens stand for: told to those who may see their class, once it is written down."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from httpx2 import Response

from ostiary.core import Column, Secret, ValueKind
from ostiary.masking import ClassRule, Transform
from ostiary.masking.transforms import Transforms
from ostiary.recording import ChangeStage
from tests.api.kit import Api, serving
from tests.api.test_changes import changes

SEES = """\
@id("sees-phones")
permit (principal == Human::"ci:ann", action == Action::"unmask", resource == DataClass::"pii.phone");
@id("adam-too")
permit (principal == Human::"ci:adam", action == Action::"unmask", resource == DataClass::"pii.email");
"""
PHONE = "+49 30 901820"
KEY = "a key of sixteen bytes or more"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Phone numbers are tokens."""
    (tmp_path / "masking.key").touch(mode=0o600)
    (tmp_path / "masking.key").write_text(KEY)
    async with serving(
        tmp_path, "  masking_key: {file: masking.key}\n", "  pii.phone: {transform: token}\n"
    ) as running:
        yield running


def token(target: str = "stock", data_class: str = "pii.phone") -> str:
    """As a result would show it."""
    column = Column("c", None, ValueKind.TEXT)
    replacer = Transforms(target, Secret(KEY.encode())).replacer(ClassRule(Transform.TOKEN), data_class, column)
    (cell,) = replacer.cells([PHONE.encode()])
    assert cell is not None
    return cell.decode()


async def reveal(api: Api, tokens: Sequence[str], who: str = "t-audit", target: str = "stock") -> Response:
    """Ask for values of pii.phone."""
    return await api.post("/masking/pii.phone/reveal", {"target": target, "tokens": list(tokens)}, who)


async def test_who_may_see_the_class_is_told(api: Api) -> None:
    """And the audit log has who, when and which tokens; the values are nowhere in it."""
    await api.repermit(SEES)
    answer = await reveal(api, [token(), token()])
    assert (answer.status_code, answer.json()) == (200, {"values": [PHONE, PHONE]})
    assert (await reveal(api, [token("orders")], target="orders")).json() == {"values": [PHONE]}
    asked, done, *_ = changes(api)
    assert (asked.stage, done.stage) == (ChangeStage.ASKED, ChangeStage.DONE)
    assert (done.by, done.resource) == ("ci:ann", "masking/pii.phone/reveal")
    assert done.after == {"target": "stock", "tokens": [token(), token()]}
    logs = (api.desk.home / "recordings" / "audit").glob("*.log")
    assert not any(b"901820" in path.read_bytes() for path in logs)


@pytest.mark.parametrize(
    ("who", "target", "status"),
    [("t-admin", "stock", 403), ("t-eve", "stock", 403), ("t-all", "stock", 403), ("t-audit", "nowhere", 403)],
)
async def test_nobody_else_is(api: Api, who: str, target: str, status: int) -> None:
    """Neither an administrator, nor who may see another class, nor of a target that is not there."""
    await api.repermit(SEES)
    answer = await reveal(api, [token()], who, target)
    assert answer.status_code == status
    assert PHONE not in answer.text
    assert changes(api) == []


async def test_what_is_no_token_of_the_class(api: Api) -> None:
    """Of another target, of another class, of a class that has none: a sentence, and no value."""
    await api.repermit(SEES + '@id("all-emails") permit (principal, action == Action::"unmask", resource);')
    for wrong in (token("orders"), token(data_class="pii.email"), "tok1_a", PHONE.replace(" ", "")):
        answer = await reveal(api, [token(), wrong])
        assert answer.status_code == 422
        assert PHONE not in answer.text
    answer = await api.post("/masking/pii.email/reveal", {"target": "stock", "tokens": [token()]}, "t-audit")
    assert answer.status_code == 422
    assert "not masked by `token`" in answer.text
    assert changes(api) == []
