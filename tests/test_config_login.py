"""`login:` of issuers: where people sign in, apart from what machines show."""

import json
from pathlib import Path

import pytest

from ostiary import config
from ostiary.app.check import problems_of
from ostiary.app.current import CurrentIdentity
from ostiary.core import PrincipalKind
from ostiary.credentials import EnvSource
from ostiary.identity import HttpFetch, Identities, OidcIssuer, SamlIssuer
from ostiary.resources import ResourceKind, StoredResource
from ostiary.signin.logins import OidcLogin, SamlLogin
from tests.identity.saml_kit import ENTITY, KEYS, metadata
from tests.signin.test_saml import with_sign_on
from tests.test_config import TENANT, load, problems

GOOD = """\
server:
  url: https://gw.example.com/
  tls: auto
  listen: {postgres: 127.0.0.1:6432, api: 127.0.0.1:8443}
issuers:
  - name: corp
    type: oidc
    issuer: https://id.example.com
    audience: ostiary
    bind: {team: shop}
    groups: "{groups}"
    login: {client_id: gw, client_secret: {env: LOGIN_TEST_SECRET}, title: Acme staff}
  - {name: g, type: google, login: {client_id: gw2, bind: {hd: acme.example}}}
  - {name: az, type: azure, tenant: TENANT, login: {client_id: gw3, scopes: [openid, groups], groups: "az/{groups}"}}
  - {name: gl, type: gitlab-ci, audience: a, bind: {project_path: acme/shop}, login: {client_id: gw4, bind: {sub: "7"}}}
  - {name: saml, type: saml, entity_id: "ENTITY", metadata: idp.xml, login: {title: Old staff}}
  - {name: both, type: saml, entity_id: "https://b", metadata: b.xml, audience: o, recipient: "https://r",
     login: {groups: "b/{memberOf}"}}
targets:
  - {name: orders, protocol: postgres, address: "db:5432", credential: {type: static, username: app}}
policies: policies/
""".replace("TENANT", TENANT).replace("ENTITY", ENTITY)


def test_standing(tmp_path: Path) -> None:
    """The same whenever it is read; another one for whatever is changed of an issuer or its login, and of no other."""

    def standing(text: str) -> dict[str, str]:
        settings = load(tmp_path, text)
        identities = Identities([], HttpFetch(), lambda: 0.0)
        current = CurrentIdentity(identities, settings.issuers, settings.people)
        return {name: current.standing(name) for name in ("corp", "g", "az", "saml", "ostiary", "service-accounts")}

    before = standing(GOOD)
    assert (before == standing(GOOD), before["service-accounts"]) == (True, "")
    assert len(set(before.values())) == len(before)
    for old, new in (
        ("client_id: gw,", "client_id: other,"),
        ("bind: {team: shop}", "bind: {team: sales}"),
        ("issuer: https://id.example.com", "issuer: https://id.example.org"),
        ("name: corp", "name: another"),
    ):
        after = standing(GOOD.replace(old, new))
        assert {name for name in before if before[name] != after[name]} == {"corp"}


def test_logins(tmp_path: Path) -> None:
    """Each with an audience of its own; what it does not say is the issuer's."""
    settings = load(tmp_path, GOOD)
    logins = {login.issuer.name: login for login in settings.logins}
    corp, google, azure, gitlab = (logins[name] for name in ("corp", "g", "az", "gl"))
    assert isinstance(corp, OidcLogin)
    assert (corp.title, corp.client_id, corp.client_secret) == ("Acme staff", "gw", EnvSource("LOGIN_TEST_SECRET"))
    assert corp.callback == "https://gw.example.com/login/oidc/corp/callback"
    assert corp.scopes == ("openid", "email", "profile")
    assert (corp.issuer.audiences, corp.issuer.bind, corp.issuer.groups) == (("gw",), {"team": "shop"}, ("{groups}",))
    assert corp.issuer.kind is PrincipalKind.HUMAN
    assert isinstance(google, OidcLogin)
    assert (google.title, google.issuer.issuer, google.issuer.bind) == (
        "g",
        "https://accounts.google.com",
        {"hd": "acme.example"},
    )
    assert isinstance(azure, OidcLogin)
    assert (azure.scopes, azure.issuer.groups, azure.issuer.bind) == (
        ("openid", "groups"),
        ("az/{groups}",),
        {"tid": TENANT},
    )
    assert isinstance(gitlab, OidcLogin)
    assert gitlab.issuer.bind == {"sub": "7"}
    saml, both = logins["saml"], logins["both"]
    assert isinstance(saml, SamlLogin)
    assert saml.issuer.audiences == ("https://gw.example.com/login/saml/saml/metadata",)
    assert saml.issuer.recipients == ("https://gw.example.com/login/saml/saml/acs",)
    assert (both.issuer.groups, both.issuer.kind) == (("b/{memberOf}",), PrincipalKind.HUMAN)


def test_machines_and_people_are_apart(tmp_path: Path) -> None:
    """The gate takes tokens of issuers with an audience for machines, and only for that."""
    settings = load(tmp_path, GOOD)
    assert [issuer.name for issuer in settings.issuers] == ["corp", "g", "az", "gl", "saml", "both"]
    assert [issuer.name for issuer in settings.trusted] == ["corp", "gl", "both"]
    corp, gitlab, both = settings.trusted
    assert isinstance(corp, OidcIssuer)
    assert (corp.audiences, corp.kind) == (("ostiary",), PrincipalKind.WORKLOAD)
    assert isinstance(gitlab, OidcIssuer)
    assert gitlab.bind == {"project_path": "acme/shop"}
    assert isinstance(both, SamlIssuer)
    assert (both.audiences, both.recipients) == (("o",), ("https://r",))


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("client_id: gw,", "", 12, "issuers.0.login: client_id is missing"),
        ("title: Acme staff", "title: ''", 12, "issuers.0.login: title: write what the button says"),
        ("title: Acme staff", "scopes: email", 12, "issuers.0.login: scopes: openid must be one"),
        ("title: Acme staff", "titel: x", 12, "issuers.0.login.titel: no such setting; did you mean `title`?"),
        ("client_secret: {env: LOGIN_TEST_SECRET}", "client_secret: s3", 12, "a secret never stands in this file"),
        (", bind: {hd: acme.example}", "", 13, 'issuers.1.login: issuer "g": bind: every service account'),
        (", login: {client_id: gw2, bind: {hd: acme.example}}", "", 13, "issuers.1: audience is missing"),
        (", login: {title: Old staff}", "", 16, "issuers.4: audience is missing"),
        (', recipient: "https://r"', "", 17, "issuers.5: recipient is missing"),
        ("url: https://gw.example.com/", "node: n", 12, "issuers.0.login: people come back to this gateway"),
        ("url: https://gw.example.com/", "url: http://gw.example/", 12, "issuers.0.login: people come back to"),
        (", api: 127.0.0.1:8443", "", 12, "issuers.0.login: the login page is on the API's listener"),
        ("type: google", "type: kubernetes, issuer: 'https://k', audience: a", 13, "issuers.1.login: no such setting"),
    ],
)
def test_logins_that_will_not_do(tmp_path: Path, old: str, new: str, line: int, sentence: str) -> None:
    """Each at its line, in a sentence."""
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert found[0].startswith(f":{line}: ")
    assert sentence in found[0]
    assert "s3" not in found[0].removeprefix(sentence)


def test_check_reads_what_logins_point_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, and metadata that say where to sign in."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.cedar").write_text('@id("a") permit (principal, action, resource);')
    monkeypatch.setenv("LOGIN_TEST_SECRET", "x")
    good = metadata(KEYS.certificate())
    (tmp_path / "idp.xml").write_text(with_sign_on(good))
    (tmp_path / "b.xml").write_text(with_sign_on(good.replace(ENTITY, "https://b")))
    settings = load(tmp_path, GOOD)
    assert problems_of(settings) == []
    monkeypatch.delenv("LOGIN_TEST_SECRET")
    (tmp_path / "idp.xml").write_text(good)
    first, second = problems_of(settings)
    assert ":12: issuer corp: login: environment variable LOGIN_TEST_SECRET is not set" in first
    assert ":16: issuer saml: login: " in second
    assert "names no SingleSignOnService with the HTTP-Redirect binding" in second


def test_nobody_declares_a_login_through_the_api(tmp_path: Path) -> None:
    """Where people sign in is the configuration file's to say: its secrets are of the gateway's host."""
    path = tmp_path / "ostiary.yaml"
    path.write_text(GOOD)
    login = {"client_id": "x", "client_secret": {"env": "LOGIN_TEST_SECRET"}}
    stored = {"type": "oidc", "issuer": "https://evil.example", "login": login}
    with pytest.raises(config.ConfigError, match="login: can be set in the configuration file only"):
        config.load(path, [StoredResource(ResourceKind.ISSUER, "evil", stored)])


def test_schema() -> None:
    """Editors know it."""
    definitions = json.loads(json.dumps(config.schema()))["$defs"]
    assert "client_id" in definitions["ClientSection"]["required"]
    for name in ("Oidc", "KnownProvider", "Azure", "Saml"):
        assert "login" in definitions[name]["properties"]
        assert "audience" not in definitions[name]["required"]
