"""`ostiary service-accounts create|list|show|set|disable|enable|add-key|remove-key|rotate`."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ostiary.accounts import ServiceAccount, shown
from ostiary.cli.common import Context, errors, run
from ostiary.cli.operator import this_user
from ostiary.cli.output import Exit, Output, OutputOption, err, fail, moment, say, structured, table
from ostiary.cli.reach import Reach, reaching
from ostiary.cli.remote import accounts as remote
from ostiary.control import NewKey
from ostiary.core.duration import seconds

_LONGEST_KEY = 64 * 1024
NameArgument = Annotated[str, typer.Argument(help="The account's name.")]
PublicKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        help="Public key (PEM or JWK) of a program that signs its own assertions; else a secret is made.",
    ),
]
ExpiresOption = Annotated[str, typer.Option("--expires", help='Good for this long: "90d", "12h".')]


class _Clear(StrEnum):
    """What can be taken away."""

    GROUPS = "groups"
    TARGETS = "targets"
    NETWORKS = "networks"
    EXPIRES = "expires"


def build(context: Context) -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True)
    _add_set(group, context)

    @group.command()
    @reaching(context)
    def create(
        name: NameArgument,
        reach: Reach,
        owner: Annotated[str, typer.Option(help="Who answers for it.")],
        groups: Annotated[list[str] | None, typer.Option("--group", help="A group; repeatable.")] = None,
        targets: Annotated[list[str] | None, typer.Option("--target", help="Only for this target; repeatable.")] = None,
        networks: Annotated[
            list[str] | None, typer.Option("--network", help="Only from here, as 10.1.0.0/16; repeatable.")
        ] = None,
        expires: ExpiresOption = "",
        public_key: PublicKeyOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Make an account and its first key. A secret is printed once, alone on standard output."""
        until, key = _end(expires), _read(public_key)
        entries = {"groups": groups or [], "targets": targets or [], "networks": networks or []}
        made = reach.pick(
            lambda it: run(
                it.service_accounts.create(this_user(), name, owner, **entries, expires_at=until, public_key=key)
            ),
            lambda api: remote.create(api, {"name": name, "owner": owner, **entries}, until, key),
        )
        _show_key(made, f'service account "{name}": created', output)

    @group.command("list")
    @reaching(context)
    def list_accounts(reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Accounts by name."""
        found = reach.pick(lambda it: run(it.service_accounts.list()), remote.list_accounts)
        if output is not Output.TABLE:
            structured([shown(account) for account in found], output)
            return
        rows = [
            (a.name, _state(a), a.owner, a.groups, a.targets, a.networks, len(a.keys), moment(a.expires_at))
            for a in found
        ]
        table(
            ("NAME", "STATE", "OWNER", "GROUPS", "TARGETS", "NETWORKS", "KEYS", "EXPIRES (UTC)"),
            rows,
            "there is no service account",
            folded=("OWNER", "GROUPS", "TARGETS", "NETWORKS"),
            dropped=("NETWORKS", "KEYS", "TARGETS"),
        )

    @group.command()
    @reaching(context)
    def show(name: NameArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """One account and its keys."""
        found = reach.pick(lambda it: run(it.service_accounts.show(name)), lambda api: remote.show(api, name))
        _show(found, output)

    @group.command()
    @reaching(context)
    def disable(name: NameArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Let nobody in with it, and end its sessions within 5 seconds."""
        after = reach.pick(
            lambda it: run(it.service_accounts.disable(this_user(), name)),
            lambda api: remote.edit(api, name, {"disabled": True}),
        )
        _changed(after, output)

    @group.command()
    @reaching(context)
    def enable(name: NameArgument, reach: Reach, output: OutputOption = Output.TABLE) -> None:
        """Undo `disable`."""
        after = reach.pick(
            lambda it: run(it.service_accounts.enable(this_user(), name)),
            lambda api: remote.edit(api, name, {"disabled": False}),
        )
        _changed(after, output)

    @group.command("add-key")
    @reaching(context)
    def add_key(
        name: NameArgument,
        reach: Reach,
        expires: ExpiresOption = "",
        public_key: PublicKeyOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """One more key. A secret is printed once, alone on standard output."""
        until, key = _end(expires), _read(public_key)
        made = reach.pick(
            lambda it: run(it.service_accounts.add_key(this_user(), name, key, until)),
            lambda api: remote.add_key(api, name, key, until),
        )
        _show_key(made, f'service account "{name}": key added', output)

    @group.command("remove-key")
    @reaching(context)
    def remove_key(
        name: NameArgument,
        reach: Reach,
        key_id: Annotated[str, typer.Argument(help="The key's id, as `show` prints it.")],
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Take a key away; sessions that it opened end within 5 seconds."""
        after = reach.pick(
            lambda it: run(it.service_accounts.remove_key(this_user(), name, key_id)),
            lambda api: remote.remove_key(api, name, key_id),
        )
        _changed(after, output)

    @group.command()
    @reaching(context)
    def rotate(
        name: NameArgument,
        reach: Reach,
        overlap: Annotated[str, typer.Option(help="How long the other keys stay good.")] = "1d",
        expires: ExpiresOption = "",
        public_key: PublicKeyOption = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """A new key in place of all others. A secret is printed once, alone on standard output."""
        with errors():
            lasting = seconds(overlap)
        until, key = _end(expires), _read(public_key)
        made = reach.pick(
            lambda it: run(it.service_accounts.rotate(this_user(), name, lasting, key, until)),
            lambda api: remote.rotate(api, name, lasting, key, until),
        )
        _show_key(made, f'service account "{name}": rotated, its other keys end in {overlap}', output)

    return group


def _add_set(group: typer.Typer, context: Context) -> None:
    @group.command("set")
    @reaching(context)
    def set_account(
        name: NameArgument,
        reach: Reach,
        owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
        groups: Annotated[list[str] | None, typer.Option("--group", help="All its groups; repeatable.")] = None,
        targets: Annotated[list[str] | None, typer.Option("--target", help="All its targets; repeatable.")] = None,
        networks: Annotated[list[str] | None, typer.Option("--network", help="All its networks; repeatable.")] = None,
        expires: ExpiresOption = "",
        clear: Annotated[
            list[_Clear] | None, typer.Option(help="Take away all of one: groups, targets, …; repeatable.")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Change an account; what is not named stays. Sessions that it may no more end within 5 seconds."""
        named = {"groups": groups, "targets": targets, "networks": networks}
        wanted: dict[str, Any] = {field: tuple(values) for field, values in named.items() if values}
        if owner is not None:
            wanted["owner"] = owner
        if expires:
            wanted["expires_at"] = _end(expires)
        for cleared in clear or ():
            field = "expires_at" if cleared is _Clear.EXPIRES else cleared.value
            if field in wanted:
                fail(f"{cleared.value}: cleared and set at once", "say one of both", Exit.USAGE)
            wanted[field] = None if cleared is _Clear.EXPIRES else ()
        if not wanted:
            fail("nothing to change", "name what is to change: see --help", Exit.USAGE)
        after = reach.pick(
            lambda it: run(it.service_accounts.edit(this_user(), name, wanted)),
            lambda api: remote.edit(api, name, wanted),
        )
        _show(after, output)


def _end(expires: str) -> float | None:
    with errors():
        return time.time() + seconds(expires) if expires else None


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_KEY)
    except OSError as error:
        fail(f"{path}: {error.strerror}", "name a readable file that holds the public key")


def _show_key(made: NewKey, done: str, output: Output) -> None:
    if output is not Output.TABLE:
        secret = made.secret.reveal_text() if made.secret is not None else None
        structured({"account": shown(made.account), "key_id": made.key.key_id, "secret": secret}, output)
        return
    say(f"{done}; key {made.key.key_id}", to=err)
    if made.secret is not None:
        say(("next:", "dim"), "  keep the secret now, it is not shown again", to=err)
        typer.echo(made.secret.reveal_text())


def _changed(account: ServiceAccount, output: Output) -> None:
    if output is not Output.TABLE:
        structured(shown(account), output)
        return
    say(f'service account "{account.name}": {_state(account)}, {len(account.keys)} keys')


def _show(account: ServiceAccount, output: Output) -> None:
    if output is not Output.TABLE:
        structured(shown(account), output)
        return
    facts = {
        "name": f"{account.name}  {_state(account)}",
        "owner": account.owner,
        "groups": ", ".join(account.groups),
        "targets": ", ".join(account.targets) or "all that policy permits",
        "networks": ", ".join(account.networks) or "any",
        "created": f"{moment(account.created_at)} UTC",
        "expires": f"{moment(account.expires_at)} UTC" if account.expires_at is not None else "",
    }
    for name, value in facts.items():
        if value:
            say(f"  {name:9} {value}")
    rows = [
        (k.key_id, k.kind.value, moment(k.created_at), moment(k.expires_at), moment(k.last_used_at))
        for k in account.keys
    ]
    table(("KEY", "KIND", "CREATED (UTC)", "EXPIRES (UTC)", "LAST USED (UTC)"), rows, "it has no key")


def _state(account: ServiceAccount) -> str:
    if account.disabled_at is not None:
        return "disabled"
    return "expired" if account.closed(time.time()) else "active"
