"""`ostiary whoami`: what a gateway makes of the caller's token."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import typer

from ostiary.cli.common import Context, errors
from ostiary.cli.output import Output, OutputOption, moment, say, structured, text
from ostiary.cli.reach import Reach, reaching

_PROOFS: Final[Mapping[str, str]] = {
    "access-token": "an access token of this gateway's",
    "service-account-key": "a key of a service account",
    "oidc": "a token of its OpenID issuer",
    "saml": "a SAML assertion",
    "aws": "a signed GetCallerIdentity request",
    "x509": "a client certificate",
}


def build(context: Context) -> typer.Typer:
    """The command, which belongs to no group."""
    app = typer.Typer()

    @app.command()
    @reaching(context, local=False)
    def whoami(reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Who you are at a gateway, how that was proven, and what you may do there."""
        with errors():
            me = reach.api.get("/me")
        login = reach.login()
        ends = None if login is None or login.until is None else moment(login.until)
        if output is not Output.TABLE:
            structured({**me, "login_until": ends}, output)
            return
        client = me.get("client")
        proof = str(me.get("proof", ""))
        facts = {
            "principal": f"{text(me.get('principal'))} ({text(me.get('kind'))})",
            "groups": text(me.get("groups")),
            "proven by": _PROOFS.get(proof, proof) + (f", given to {client}" if client else ""),
            "until": f"{ends} UTC" if ends else _moment(me.get("expires_at")),
            "sessions": _moment(me.get("session_until")),
            "may": text(me.get("may")) or "nothing on the gateway itself",
        }
        for name, value in facts.items():
            if value:
                say(f"  {name:9} {value}")

    return app


def _moment(value: Any) -> str:
    try:
        return f"{moment(datetime.fromisoformat(value).timestamp())} UTC"
    except (TypeError, ValueError, OverflowError):
        return ""
