"""The configuration: each wrong thing has its line and its sentence, all of one reading; what is right is typed."""

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from ostiary import config
from ostiary.app.operations import operations_of
from ostiary.config.document import MAX_FILE, MAX_VALUES
from ostiary.control import starter
from ostiary.core import Operation, PrincipalKind, RecordingLevel, Secret, TlsMode
from ostiary.credentials import EnvSource, FileSource, PostgresRoleCredential, SecretUnavailable, StaticCredential
from ostiary.identity import AwsIssuer, OidcIssuer, SamlIssuer, X509Issuer
from ostiary.identity.fetch import Access
from ostiary.identity.groups import GroupNames
from ostiary.identity.issuer import BoundValue
from ostiary.masking import Detector, Transform
from ostiary.policy import check

#: One setting a line, so that a line is a place.
GOOD = """\
server:
  tls: auto
  listen:
    postgres: 127.0.0.1:6432
issuers:
  - name: github
    type: oidc
    issuer: https://token.example.com
    audience: ostiary
targets:
  - name: orders
    protocol: postgres
    address: db.internal:5432
    credential:
      type: static
      username: app
policies: policies/
"""
FULL = """\
server:
  url: https://gw.example.com/
  state: sqlite:state.db
  recordings: file:///var/lib/recordings
  recording_key: keys/recording.key
  fsync: always
  node: node-7
  tls: {cert: gw.crt, key: /etc/gw.key}
  plaintext_loopback: true
  masking_key: {env: OSTIARY_TEST_MASKING}
  listen: {postgres: "[::1]:0"}
issuers:
  - name: github
    type: oidc
    issuer: https://token.example.com
    audience: [one, two]
    kind: human
    bind: {ref: [main, release], repository_owner: acme, runner: 7, protected: true}
    groups: "repo/{repository}"
    leeway: 500ms
    session_grace: 2m
    max_session: 1d
targets:
  - name: orders
    protocol: postgres
    address: db.internal:5432
    database: shop
    tls: {mode: verify-ca, ca: ca.pem, cert: c.crt, key: c.key}
    labels: {environment: production}
    recording: full
    detectors: {jwt: off, email: null, card: keep}
    credential:
      type: postgres-role
      admin: {username: ostiary, password: {file: admin.password}}
      member_of: app_rw
      max_ttl: 3600
policies: policies/
classification:
  - {target: orders, object: public.customers.email, class: pii.email}
masking:
  pii.email: {transform: hash}
  pii.phone: {transform: null, text_only: true}
approvals:
  dba: {members: [{group: dba}, {principal: "corp:ada"}], required: 2, timeout: 90s}
"""


def load(tmp_path: Path, text: str | bytes) -> config.Settings:
    """The settings of a file with this text."""
    path = tmp_path / "ostiary.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return config.load(path)


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    """What is wrong, without the directory."""
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [problem.removeprefix(f"{tmp_path}/ostiary.yaml") for problem in caught.value.problems]


def test_defaults(tmp_path: Path) -> None:
    """What a small file leaves out."""
    settings = load(tmp_path, GOOD)
    assert settings.url == ""
    assert settings.state == Secret(f"sqlite:///{tmp_path}/state.db")
    assert settings.recordings == tmp_path / "recordings"
    assert settings.recording_key == tmp_path / "recording.key"
    assert settings.policies == tmp_path / "policies"
    assert settings.tls == config.ListenerTls(None, None)
    assert settings.listen == {"postgres": ("127.0.0.1", 6432)}
    (target,) = settings.targets
    assert (target.database, target.tls.mode, target.recording) == (
        "orders",
        TlsMode.VERIFY_FULL,
        RecordingLevel.SAMPLE,
    )
    assert settings.credentials == {"orders": StaticCredential("app")}
    assert settings.masking().key is None


def test_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting arrives in the type of the room that uses it, with its unit and its path."""
    monkeypatch.setenv("OSTIARY_TEST_MASKING", "0123456789abcdef")
    settings = load(tmp_path, FULL)
    assert settings.url == "https://gw.example.com"
    assert settings.recordings == Path("/var/lib/recordings")
    assert settings.tls == config.ListenerTls(tmp_path / "gw.crt", Path("/etc/gw.key"))
    assert settings.listen == {"postgres": ("::1", 0)}
    (issuer,) = settings.issuers
    assert isinstance(issuer, OidcIssuer)
    assert (issuer.leeway, issuer.session_grace, issuer.max_session) == (0.5, 120.0, 86400.0)
    assert issuer.bind == {"ref": ("main", "release"), "repository_owner": "acme", "runner": 7, "protected": True}
    assert (issuer.audiences, issuer.groups) == (("one", "two"), ("repo/{repository}",))
    (target,) = settings.targets
    assert (target.host, target.port, target.database) == ("db.internal", 5432, "shop")
    assert (target.tls.ca, target.tls.cert) == (str(tmp_path / "ca.pem"), str(tmp_path / "c.crt"))
    credential = settings.credentials["orders"]
    assert isinstance(credential, PostgresRoleCredential)
    assert (credential.member_of, credential.max_ttl) == (("app_rw",), 3600.0)
    assert credential.admin_password == FileSource(tmp_path / "admin.password")
    masking = settings.masking()
    assert masking.key == Secret("0123456789abcdef")
    assert masking.rules["pii.phone"].transform is Transform.NULL
    detection = masking.detection["orders"].transforms
    assert Detector.JWT not in detection
    assert (detection[Detector.EMAIL], detection[Detector.CARD]) == (Transform.NULL, Transform.KEEP)
    assert masking.default_detection.transforms[Detector.JWT] is Transform.REDACT
    group = settings.approvals["dba"]
    assert (group.groups, group.principals, group.required, group.timeout) == (
        frozenset({"dba"}),
        frozenset({"corp:ada"}),
        2,
        90.0,
    )


def test_the_starter_is_right(tmp_path: Path) -> None:
    """What `ostiary init` writes can be read, and its policies let psql look up tables."""
    made = starter.write(tmp_path / "new")
    assert [path.name for path in made] == ["ostiary.yaml", "start.cedar"]
    settings = config.load(made[0])
    assert settings.policies == made[1].parent
    assert check(settings.policies, frozenset(settings.approvals)) == ()
    operations = operations_of(settings)
    who = operations.principal("github:job", ["repo/acme/shop"])
    looks_up = operations.explain_access(who, settings.targets[0], Operation.READ, "pg_catalog.pg_class")
    assert looks_up.ruling.rules == ("catalog",)


@pytest.mark.parametrize("claims", [{}, {"environment": None}, {"environment": ""}])
def test_the_starter_s_jobs_without_an_environment(tmp_path: Path, claims: dict[str, object]) -> None:
    """They are in no group "environment/…", and in the others all the same."""
    (issuer,) = config.load(starter.write(tmp_path / "new")[0]).issuers
    names = GroupNames(issuer.templates)
    job: dict[str, object] = {"repository": "acme/shop", **claims}
    assert names.groups(issuer.templates, job) == {"repo/acme/shop"}
    job["environment"] = "production"
    assert names.groups(issuer.templates, job) == {"repo/acme/shop", "environment/production"}


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("policies: policies/\n", "", 1, "policies is missing"),
        ("policies: policies/", "policies: 7", 17, "policies: must be text; put it in quotes"),
        ("tls: auto", "tls: yes", 2, "server.tls: must be 'auto'"),
        ("tls: auto", "tls: {cert: x}", 2, "server.tls: key is missing"),
        ("tls: auto", "url: gw", 2, 'server.url: write https://HOST, or "" when there is no page to point at'),
        ("  tls: auto\n", "", 1, "server: tls: without it no client could send a token"),
        ("tls: auto", "tls: auto\n  fsync: sometimes", 3, "server.fsync: must be 'never', 'close' or 'always'"),
        ("tls: auto", "tls: auto\n  node: a b", 3, "server.node: write a name of 1 to 63 letters"),
        ("tls: auto", "tls: auto\n  plaintext_loopback: 1", 3, "server.plaintext_loopback: must be true or false"),
        ("tls: auto", "tls: auto\n  recordings: s3://x", 3, "server.recordings: they are kept in files here"),
        ("tls: auto", "tls: auto\n  state: mysql://x", 3, "server.state: write sqlite:PATH or postgresql://"),
        ("tls: auto", "tls: auto\n  lisen: {}", 3, "server.lisen: no such setting; did you mean `listen`?"),
        ("postgres: 127.0.0.1:6432", "mysql: 127.0.0.1:1", 4, "server.listen.mysql: must be 'postgres'"),
        ("\n    postgres: 127.0.0.1:6432", " {}", 3, "server.listen: must not be empty"),
        ("127.0.0.1:6432", "127.0.0.1", 4, 'server.listen.postgres: write an address as "host:port"'),
        ("127.0.0.1:6432", "127.0.0.1:65536", 4, 'server.listen.postgres: write an address as "host:port"'),
        ("127.0.0.1:6432", '"::1:6432"', 4, 'server.listen.postgres: write an address as "host:port"'),
        ("127.0.0.1:6432", "6432", 4, 'server.listen.postgres: write an address as "host:port"'),
        ("127.0.0.1:6432", "a:٣", 4, 'server.listen.postgres: write an address as "host:port"'),
        ("type: oidc", "type: ldap", 7, "issuers.0.type: must be 'oidc' or 'gitlab-ci'"),
        ("name: github", "name: git/hub", 6, "issuers.0.name: write a name"),
        ("https://token", "http://token", 6, 'issuers.0: issuer "github": issuer: must be an https URL'),
        ("audience: ostiary", "audience: []", 6, 'issuers.0: issuer "github": audiences: name at least one'),
        ("audience: ostiary", "audience: x\n    leeway: 1h30m", 10, 'issuers.0.leeway: write a duration as "30s"'),
        ("audience: ostiary", "audience: x\n    leeway: 10m", 6, "leeway: must be from 0 to 300 seconds"),
        ("audience: ostiary", "audience: x\n    max_session: true", 10, "issuers.0.max_session: must be a number"),
        ("audience: ostiary", "audience: x\n    bind: {a: 1.5}", 10, "issuers.0.bind.a: write text, a whole number"),
        ("audience: ostiary", "audience: x\n    bind: {a: []}", 10, "issuers.0.bind.a: write text, a whole number"),
        ("audience: ostiary", "audience: x\n    groups: ['{']", 6, "issuers.0: issuer"),
        ("audience: ostiary", "audience: x\n    algorithms: none", 6, "algorithms: choose from"),
        ("protocol: postgres", "protocol: mysql", 12, "targets.0.protocol: must be 'postgres'"),
        ("    protocol: postgres\n", "", 11, "targets.0: protocol is missing"),
        ("db.internal:5432", "db.internal:0", 13, "targets.0.address: port 0 can't be connected to"),
        ("type: static", "type: vault", 15, "targets.0.credential.type: must be 'static' or 'postgres-role'"),
        ("      type: static\n", "", 14, "targets.0.credential: its `type` is missing"),
        ("policies: p", "    tls: {mode: prefer}\npolicies: p", 17, "targets.0.tls.mode: must be 'disable', 'require'"),
        ("policies: p", "    tls: {cert: x}\npolicies: p", 17, "a client certificate and its key go together"),
        ("policies: p", "    tls: {mode: disable, ca: x}\npolicies: p", 17, "its files would not be used"),
        ("policies: p", "    labels: {a: 1}\npolicies: p", 17, "targets.0.labels.a: must be text; put it in quotes"),
        ("policies: p", "    recording: all\npolicies: p", 17, "targets.0.recording: must be 'sample' or 'full'"),
        (
            "policies: p",
            "    detectors: {emial: keep}\npolicies: p",
            17,
            "targets.0.detectors.emial: must be 'private-key'",
        ),
        (
            "policies: p",
            "    detectors: {email: yes}\npolicies: p",
            17,
            "must be one of keep, partial, hash, redact, null",
        ),
        (
            "policies: p",
            "    detectors: {email: hash}\npolicies: p",
            17,
            "targets.0.detectors.email: `hash` needs a key",
        ),
        ("policies: p", "detectors: {email: hash}\npolicies: p", 17, "detectors.email: `hash` needs a key"),
        ("policies: p", "masking: {a: {transform: hash}}\npolicies: p", 17, "masking.a.transform: `hash` needs a key"),
        (
            "policies: p",
            "masking: {a: {transform: token}}\npolicies: p",
            17,
            "masking.a.transform: `token` needs a key",
        ),
        ("policies: p", "masking: {a: {transform: redact, step: 2}}\npolicies: p", 17, "settings of `generalise`"),
        ("policies: p", "masking: {a: {transform: generalise, to: day}}\npolicies: p", 17, "masking.a.to"),
        ("policies: p", "detectors: {card: token}\npolicies: p", 17, "detectors.card: must be one of"),
        ("policies: p", "masking: {a: redact}\npolicies: p", 17, "masking.a: must be a mapping"),
        (
            "policies: p",
            "classification:\n- {target: x, object: a.b, class: c}\npolicies: p",
            18,
            'no target is called "x"',
        ),
        (
            "policies: p",
            "classification:\n- {target: orders, object: a..b, class: c}\npolicies: p",
            18,
            "object: not a name",
        ),
        ("policies: p", "classification:\n- {target: orders, object: a.b}\npolicies: p", 18, "class is missing"),
        ("policies: p", "approvals: {dba: {members: []}}\npolicies: p", 17, "an approval group needs members"),
        (
            "policies: p",
            "approvals: {dba: {members: [{}]}}\npolicies: p",
            17,
            "approvals.dba.members.0: name a member as",
        ),
        ("policies: p", "approvals: {a: {members: [{principal: x}]}}\npolicies: p", 17, "is written issuer:subject"),
        (
            "policies: p",
            "approvals: {a: {members: [{group: x}], required: 0}}\npolicies: p",
            17,
            "`required` of at least 1",
        ),
    ],
)
def test_each_wrong_thing_has_its_line(tmp_path: Path, old: str, new: str, line: int, sentence: str) -> None:
    """One thing wrong: one problem, at its line, in a sentence."""
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert len(found) == 1, found
    assert found[0].startswith(f":{line}: ")
    assert sentence in found[0]


def test_a_misspelt_setting_that_is_needed(tmp_path: Path) -> None:
    """It is missing, and what stands there instead is named with what was probably meant."""
    assert problems(tmp_path, GOOD.replace("username: app", "user: app")) == [
        ":14: targets.0.credential: username is missing",
        ":16: targets.0.credential.user: no such setting; did you mean `username`?",
    ]
    found = problems(tmp_path, GOOD.replace("server:", "sever:"))
    assert found == [":1: server is missing", ":1: sever: no such setting; did you mean `server`?"]


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """Tokens of an issuer can't pass for service accounts."""
    assert problems(tmp_path, GOOD.replace("name: github", "name: service-accounts")) == [
        ':6: issuers.0.name: "service-accounts" names the service accounts of this gateway: choose another'
    ]


def test_doubles_across_sections(tmp_path: Path) -> None:
    """Names of targets, and names and URLs of issuers, are unique."""
    other = GOOD.replace(
        "targets:", "  - {name: github, type: oidc, issuer: https://token.example.com, audience: x}\ntargets:"
    )
    other = other.replace(
        "policies:",
        "  - {name: orders, protocol: postgres, address: 'a:1', credential: {type: static, username: x}}\npolicies:",
    )
    assert problems(tmp_path, other) == [
        ':10: issuers.1.name: another of the issuers has the same name "github"',
        ':10: issuers.1.issuer: "github" is the same issuer https://token.example.com: one of both will do',
        ':18: targets.1.name: another of the targets has the same name "orders"',
    ]


TENANT = "11111111-2222-3333-4444-555555555555"
ISSUERS = {
    "type: github-actions, audience: a": "bind: every repository of that GitHub can get a token for this audience, so",
    "type: github-actions, audience: a, bind: {ref: refs/heads/main}": "bind: every repository of that GitHub can",
    "type: oidc, issuer: 'https://gitlab.com', audience: a": "bind: every project of that GitLab can get a token",
    "type: github, audience: a": "type: must be 'oidc' or 'gitlab-ci' or 'google' or 'github-actions' or ",
    "type: azure, audience: a": "tenant is missing",
    "type: azure, audience: a, tenant: acme": "tenant: write its id, a UUID in small letters, not its name",
    "type: kubernetes, audience: a, issuer: https://k8s.example, jwks: {keys: []}": "jwks: no key in it can be used",
    "type: kubernetes, audience: a, issuer: https://k8s.example, token_file: t": "token_file: name with jwks_uri",
    "type: kubernetes, audience: a, issuer: https://k8s.example, jwks_uri: https://a, jwks_file: b": "jwks: its keys",
    "type: aws, audience: a": "bind: every AWS account can sign such a request, so bind what is yours",
    "type: aws, audience: a, bind: {account: 123456789012}": "twelve digits, in quotes",
    "type: aws, audience: a, bind: {account: '123456789012'}, regions: [x]": 'regions: "x" is none',
    "type: spiffe, audience: a, trust_domain: acme.example": "bundle: a trust domain has no discovery: name",
    "type: spiffe, audience: a, trust_domain: 'spiffe://acme.example', bundle_file: b": "trust_domain: write its name",
    "type: spiffe, audience: a, trust_domain: a.example, issuer: b": "issuer: no such setting; there are audience,",
}


@pytest.mark.parametrize("issuer", ISSUERS)
def test_issuers_that_would_let_strangers_in(tmp_path: Path, issuer: str) -> None:
    """Each is refused on its line with the next step."""
    text = GOOD.replace("targets:", f"  - {{name: ci, {issuer}}}\ntargets:", 1)
    (found,) = problems(tmp_path, text)
    assert found.startswith(":10: issuers.1")
    assert ISSUERS[issuer] in found


def test_presets(tmp_path: Path) -> None:
    """Each type becomes an issuer as identity takes it; paths are relative to the file."""
    (tmp_path / "keys.json").write_text("{}")
    text = GOOD.replace(
        "targets:",
        "  - {name: gitlab, type: gitlab-ci, audience: a, bind: {namespace_path: acme}}\n"
        "  - {name: k8s, type: kubernetes, issuer: https://k.example, audience: a, jwks_file: keys.json}\n"
        "  - {name: api, type: kubernetes, issuer: https://l.example, audience: a, jwks_uri: https://l.example/jwks,\n"
        "     ca: ca.crt, token_file: /run/token}\n"
        f"  - {{name: az, type: azure, tenant: {TENANT}, audience: a, kind: human}}\n"
        f"  - {{name: circle, type: circleci, organization: {TENANT}}}\n"
        "  - {name: mesh, type: spiffe, trust_domain: acme.example, audience: a, bundle_file: b.json, leeway: 5s}\n"
        "  - {name: aws, type: aws, audience: gw, bind: {account: '012345678901'}, regions: [eu-west-1], max_age: 1m}\n"
        "targets:",
        1,
    )
    aws = load(tmp_path, text).issuers[-1]
    assert isinstance(aws, AwsIssuer)
    assert (aws.bind, list(aws.endpoints)[1], aws.max_age, aws.max_session) == (
        {"account": "012345678901"},
        "sts.eu-west-1.amazonaws.com",
        60.0,
        3600.0,
    )
    found = [issuer for issuer in load(tmp_path, text).issuers if isinstance(issuer, OidcIssuer)]
    _, gitlab, k8s, api, az, circle, mesh = found
    assert (gitlab.issuer, gitlab.groups[0]) == ("https://gitlab.com", "project/{project_path}")
    assert k8s.jwks_file == tmp_path / "keys.json"
    assert api.access == Access(tmp_path / "ca.crt", Path("/run/token"))
    assert (az.bind, az.kind) == ({"tid": TENANT}, PrincipalKind.HUMAN)
    assert circle.audiences == (TENANT,)
    assert (mesh.issuer, mesh.jwks_file, mesh.leeway) == ("spiffe://acme.example", tmp_path / "b.json", 5.0)


def test_every_problem_in_one_reading(tmp_path: Path) -> None:
    """A section of the wrong shape hides neither what other sections mean nor what they say of each other."""
    text = GOOD.replace("tls: auto", "tls: yes").replace("https://token", "http://token").replace("db.internal", "")
    text += "classification: [{target: nope, object: a, class: b}]\nmasking: {a: {transform: hash}}\n"
    found = problems(tmp_path, text)
    assert [re.sub(r": .*", "", problem[1:]) for problem in found] == ["2", "6", "13", "18", "19"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ":1: must be a mapping"),
        ("[]", ":1: must be a mapping"),
        ("a: [1, 2", ":1: not YAML: expected ',' or ']'"),
        ("a: 1\nb: \x07", ":2: not YAML: a control character"),
        (b"a: 1\nb: \xff\n", ":2: not UTF-8 text"),
        ("server: {}\nserver: {}", ':2: "server" stands here twice; one of them would be ignored'),
        ("a: 2026-13-41", ": holds a date or number that is none"),
        ("? [1, 2]\n: 3", ":1: not YAML: found unhashable key"),
        ("!!python/object:os.system x", ":1: not YAML: could not determine a constructor"),
        ("a: " + "[" * 40, ":1: not YAML"),
        ("a: " + "[" * 40 + "]" * 40, ": nested too deep for a configuration"),
        ("a: " + "[" * 5000 + "]" * 5000, ": nested too deep for a configuration"),
        ("a: &a [*a]", ": nested too deep for a configuration"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    """A sentence, whatever the file holds."""
    (found,) = problems(tmp_path, text)
    assert found.startswith(sentence)


def test_aliases_can_not_stand_for_billions(tmp_path: Path) -> None:
    """Ten lines of aliases are counted for what they stand for, before anything is made of them."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    (found,) = problems(tmp_path, bomb)
    assert f"more than {MAX_VALUES} values" in found


def test_an_alias_is_fine(tmp_path: Path) -> None:
    """People use them for what targets have in common."""
    text = GOOD.replace("credential:", "credential: &login").replace(
        "policies:", "  - {name: o2, protocol: postgres, address: 'a:1', credential: *login}\npolicies:"
    )
    assert set(load(tmp_path, text).credentials) == {"orders", "o2"}


def test_unreadable_files(tmp_path: Path) -> None:
    """The name and the reason."""
    path = tmp_path / "ostiary.yaml"

    def told() -> str:
        with pytest.raises(config.ConfigError) as caught:
            config.load(path)
        return str(caught.value)

    assert told() == f"{path}: can't be read: No such file or directory"
    path.mkdir()
    assert told() == f"{path}: can't be read: Is a directory"
    path.rmdir()
    with path.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert "larger than" in told()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("username: app", "username: app\n      password: hunter2-canary"),
        ("username: app", "username: app\n      password: {env: A, file: hunter2-canary}"),
        ("username: app", "username: app\n      password: [hunter2-canary]"),
        ("tls: auto", "tls: auto\n  masking_key: hunter2-canary"),
        ("tls: auto", "tls: auto\n  state: postgresql://u:hunter2-canary@h/d"),
        ("tls: auto", "tls: auto\n  state: postgresql://h/d?password=hunter2-canary"),
        ("tls: auto", "tls: auto\n  state: mysql://u:hunter2-canary@h/d"),
        ("tls: auto", "tls: hunter2-canary"),
        ("tls: auto", "tls: auto\n  url: u:hunter2-canary@gw"),
        ("db.internal:5432", "u:hunter2-canary@db.internal:5432"),
        ("audience: ostiary", "audience: x\n    leeway: hunter2-canary"),
        ("type: static", "type: hunter2-canary"),
        ("type: static", "type: static\n      admin: {password: hunter2-canary}"),
    ],
)
def test_a_secret_in_the_file_is_a_problem_that_does_not_repeat_it(tmp_path: Path, old: str, new: str) -> None:
    """Whoever wrote it there finds the line; logs don't get a copy."""
    (found,) = problems(tmp_path, GOOD.replace(old, new, 1))
    assert "canary" not in found


def test_a_saml_issuer(tmp_path: Path) -> None:
    """Its settings arrive; its metadata's path is relative to the file; entity ids are unique."""
    corp = (
        "  - {name: corp, type: saml, entity_id: 'urn:idp', metadata: corp.xml, audience: a, recipient: 'https://gw/acs',\n"
        "     kind: human, bind: {dept: shop}, groups: '{memberOf}', one_time: true, leeway: 1s}\n"
    )
    (_, issuer) = load(tmp_path, GOOD.replace("targets:", f"{corp}targets:")).issuers
    bind: dict[str, BoundValue | tuple[BoundValue, ...]] = {"dept": "shop"}
    assert issuer == SamlIssuer(
        *("corp", "urn:idp", tmp_path / "corp.xml", ("a",), ("https://gw/acs",)),
        *(PrincipalKind.HUMAN, bind, ("{memberOf}",), True, 1.0),
    )
    twice = GOOD.replace("targets:", corp + corp.replace("corp,", "corp2,") + "targets:")
    assert problems(tmp_path, twice) == [':12: issuers.2: "corp" is the same issuer urn:idp: one of both will do']


def test_an_issuer_of_certificates(tmp_path: Path) -> None:
    """Its settings arrive, its bundle's path is relative to the file, and it needs TLS."""
    mesh = (
        "  - {name: mesh, type: x509, ca: ca.pem, trust_domain: acme.example, subject: uri, kind: human,\n"
        "     bind: {O: acme}, groups: '{OU}', crl: [a.crl, b.crl],\n"
        "     session_grace: 1s, max_session: 1h}\n"
    )
    (_, issuer) = load(tmp_path, GOOD.replace("targets:", f"{mesh}targets:")).issuers
    bind: dict[str, BoundValue | tuple[BoundValue, ...]] = {"O": "acme"}
    assert issuer == X509Issuer(
        *("mesh", tmp_path / "ca.pem", "acme.example", "uri", PrincipalKind.HUMAN, bind, ("{OU}",)),
        *((tmp_path / "a.crl", tmp_path / "b.crl"), 1.0, 3600.0),
    )
    assert problems(tmp_path, GOOD.replace("targets:", f"{mesh}{mesh.replace('mesh', 'm2')}targets:")) == [
        ':13: issuers.2: "mesh" is the same issuer X.509-SVID acme.example: one of both will do'
    ]
    without = GOOD.replace("tls: auto", "plaintext_loopback: true").replace("targets:", f"{mesh}targets:")
    assert problems(tmp_path, without) == [
        ":10: issuers.1.type: clients show certificates in TLS: write `server.tls: auto` or {cert: PATH, key: PATH}"
    ]


def test_secrets_are_not_in_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where they are is."""
    monkeypatch.setenv("OSTIARY_TEST_MASKING", "canary-canary-canary")
    monkeypatch.setenv("OSTIARY_TEST_STATE", "postgresql://u:canary@h/d")
    settings = load(tmp_path, FULL.replace("sqlite:state.db", "{env: OSTIARY_TEST_STATE}"))
    assert settings.state == EnvSource("OSTIARY_TEST_STATE")
    assert settings.state_url() == "postgresql://u:canary@h/d"
    assert "canary" not in repr(settings) + repr(settings.masking()) + str(settings)


def test_secrets_that_are_missing_stop_only_what_needs_them(tmp_path: Path) -> None:
    """Whoever looks at recordings need not have the gateway's secrets."""
    settings = load(tmp_path, FULL)
    with pytest.raises(SecretUnavailable, match="OSTIARY_TEST_MASKING"):
        settings.masking()


def test_paths(tmp_path: Path) -> None:
    """`sqlite:PATH` is relative to the file; `sqlite:///PATH` and what names a server stay as they are."""
    for given, meant in {
        "sqlite:a/b.db": f"sqlite:///{tmp_path}/a/b.db",
        "sqlite:///var/b.db": "sqlite:///var/b.db",
        "postgresql://h/d": "postgresql://h/d",
    }.items():
        assert load(tmp_path, GOOD.replace("tls: auto", f"tls: auto\n  state: {given}")).state_url() == meant


def test_places(tmp_path: Path) -> None:
    """What `check` finds later has its line as well: the setting's own, or that of what is around it."""
    settings = load(tmp_path, GOOD)
    file = f"{tmp_path}/ostiary.yaml"
    assert settings.place("targets", 0, "credential") == f"{file}:14"
    assert settings.place("targets", 0, "tls") == f"{file}:11"
    assert settings.place("nowhere") == f"{file}:1"


def test_schema_admits_what_the_file_may_say(tmp_path: Path) -> None:
    """It is JSON, names every section, and shows addresses, durations and lists as they are written."""
    schema = json.loads(json.dumps(config.schema()))
    assert set(schema["required"]) == {"server", "issuers", "policies"}
    definitions = schema["$defs"]
    assert definitions["TargetSection"]["properties"]["address"]["type"] == "string"
    (text, number) = definitions["Oidc"]["properties"]["leeway"]["anyOf"]
    assert number == {"type": "number"}
    assert re.fullmatch(text["pattern"], "90s")
    assert set(yaml.safe_load(FULL)) <= set(schema["properties"])
    assert TypeAdapter(dict[str, object]).validate_python(schema)
