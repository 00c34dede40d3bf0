"""The examples' configurations and policies do what their pages say."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from ostiary import config
from ostiary.app.check import problems_of
from ostiary.app.operations import operations_of
from ostiary.control import Operations
from ostiary.core import Verdict
from ostiary.identity import OidcIssuer
from tests.real.certificates import Authority

CI_JOB = Path(__file__).parent.parent / "examples/ci-job"
SUBJECT = "github:repo:acme/shop:ref:refs/heads/main"


@pytest.fixture
def ci_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operations:
    """The example, on a host that has what it points at."""
    home = tmp_path / "gateway"
    shutil.copytree(CI_JOB, home)
    monkeypatch.setenv("OSTIARY_ORDERS_ADMIN", "a password")
    authority = Authority("a CA of the test's")
    certificate, key = authority.issue("gw.example.com", ["gw.example.com"])
    for name, content in (("gw.crt", certificate), ("gw.key", key), ("db-ca.pem", authority.certificate_pem)):
        (home / name).write_bytes(content)
        (home / name).chmod(0o600)
    settings = config.load(home / "ostiary.yaml")
    assert problems_of(settings) == []
    return operations_of(settings)


def ruled(operations: Operations, statement: str, *groups: str) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on one statement, and the rules that made it."""
    who = operations.principal(SUBJECT, groups)
    ruling = operations.explain_sql(who, operations.targets["orders"], statement).ruling
    return ruling.verdict, ruling.rules


def test_ci_job(ci_job: Operations) -> None:
    """Its page's table: the change runs, the definition waits, what has no condition is denied; others get nothing."""
    update, alter = (CI_JOB / "migration.sql").read_text().strip().split("\n")
    assert ruled(ci_job, update, "repo/acme/shop") == (Verdict.ALLOW, ("jobs-migrate",))
    assert ruled(ci_job, alter, "repo/acme/shop") == (Verdict.HOLD, ("dba-approves-ddl",))
    for unbounded in ("DELETE FROM public.orders", "UPDATE public.orders SET note = ''"):
        assert ruled(ci_job, unbounded, "repo/acme/shop") == (Verdict.DENY, ("no-unbounded-change",))
    assert ruled(ci_job, update, "repo/acme/other") == (Verdict.DENY, ())


def test_ci_job_takes_one_branch_only(ci_job: Operations) -> None:
    """The workflow asks for a token, for the audience and the target that the gateway knows."""
    (issuer,) = (each for each in config.load(CI_JOB / "ostiary.yaml").issuers if each.name == "github")
    assert isinstance(issuer, OidcIssuer)
    assert f"github:{issuer.bind['sub']}" == SUBJECT
    workflow = yaml.safe_load((CI_JOB / "workflow.yaml").read_text())
    assert workflow["permissions"]["id-token"] == "write"
    job = workflow["jobs"]["migrate"]
    assert job["env"]["PGDATABASE"] in ci_job.targets
    script = (CI_JOB / "job.sh").read_text()
    (audience,) = re.findall(r"AUDIENCE:-(\w+)", script)
    assert audience in issuer.audiences
    assert "sh job.sh --file migration.sql" in str(job["steps"])
