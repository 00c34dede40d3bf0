"""What a configuration points at: policies, secrets, certificates, keys, directories."""

import os
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ostiary.config import Settings
from ostiary.core import TlsMode
from ostiary.credentials import SecretUnavailable, StaticCredential
from ostiary.export import AnySink, WebhookSettings
from ostiary.identity import AnyIssuer, HttpFetch, Identities, OidcIssuer, SamlIssuer, X509Issuer
from ostiary.identity.certificate_issuer import read_authorities
from ostiary.identity.keys import check_files
from ostiary.identity.revocation import read_list
from ostiary.policy import check
from ostiary.recording import KeyProblem, Signer
from ostiary.runtime.dial import target_context
from ostiary.runtime.local_tls import server_context
from ostiary.signin.logins import Login, OidcLogin


def problems_of(settings: Settings) -> list[str]:
    """Sentences, each with its place. Empty: the gateway can be started."""
    return [
        *map(str, check(settings.policies, frozenset(settings.approvals), settings.stored_policies)),
        *_problems(settings),
    ]


def _problems(settings: Settings) -> Iterator[str]:
    place = settings.place
    for index, target in enumerate(settings.targets):
        credential = settings.credentials[target.name]
        source = credential.password if isinstance(credential, StaticCredential) else credential.admin_password
        if source is not None:
            yield from _told(place("targets", index, "credential"), f"target {target.name}: ", source.read)
        if target.tls.mode is not TlsMode.DISABLE:
            yield from _told(place("targets", index, "tls"), "tls: ", partial(target_context, target.tls))
    found = [
        problem
        for index, issuer in enumerate(settings.issuers)
        for problem in _told(place("issuers", index), f"issuer {issuer.name}: ", partial(_check_issuer, issuer))
    ]
    names = [issuer.name for issuer in settings.issuers]
    for login in settings.logins:
        where = place("issuers", names.index(login.issuer.name), "login")
        found += _told(where, f"issuer {login.issuer.name}: login: ", partial(_check_login, login))
    yield from found or _told(
        place("issuers"),
        "issuers: ",
        lambda: Identities(settings.trusted, HttpFetch(), time.time, beside=settings.people),
    )
    tls = settings.tls
    if tls is not None and tls.cert is not None:
        yield from _told(
            place("server", "tls"), "server.tls: ", partial(server_context, tls.cert, tls.key, settings.recordings)
        )
    yield from _told(place("server", "masking_key"), "server.masking_key: ", settings.masking)
    yield from _told(place("server", "state"), "server.state: ", settings.state_url)
    yield from _told(place("server", "recording_key"), "", lambda: _check_key(settings.recording_key))
    for index, sink in enumerate(settings.export):
        yield from _told(place("export", index), f"export {sink.common.name}: ", partial(_check_sink, sink))
    for name in ("recordings", "recording_key"):
        above = _existing(getattr(settings, name))
        if not os.access(above, os.W_OK | os.X_OK):
            yield f"{place('server', name)}: server.{name}: {above} can't be written to by this user"


def _told(where: str, what: str, attempt: Callable[[], object]) -> Iterator[str]:
    try:
        attempt()
    except ssl.SSLError as error:
        yield f"{where}: {what}not a certificate and its key in PEM form ({error.reason or type(error).__name__})"
    except OSError as error:
        yield f"{where}: {what}{error.filename or 'a file'} can't be read: {error.strerror}"
    except (SecretUnavailable, KeyProblem, ValueError) as error:
        yield f"{where}: {what}{error}"


def _check_issuer(issuer: AnyIssuer) -> None:
    if isinstance(issuer, OidcIssuer):
        check_files(issuer)
    elif isinstance(issuer, X509Issuer):
        read_authorities(issuer.ca)
        for path in issuer.crl:
            read_list(path)
    elif isinstance(issuer, SamlIssuer):
        from ostiary.identity.saml.metadata import read_metadata

        read_metadata(issuer.metadata, issuer.entity_id)


def _check_sink(settings: AnySink) -> None:
    from ostiary.export.sinks import sink_of

    sink_of(settings)
    if isinstance(settings, WebhookSettings):
        settings.secret.read()


def _check_login(login: Login) -> None:
    if isinstance(login, OidcLogin):
        if login.client_secret is not None:
            login.client_secret.read()
    else:
        from ostiary.signin.saml import sign_on_url

        sign_on_url(login)


def _check_key(path: Path) -> None:
    if path.exists():
        Signer.load(path)


def _existing(path: Path) -> Path:
    """The path's nearest directory that is there."""
    return next(each for each in (path, *path.parents) if each.is_dir())
