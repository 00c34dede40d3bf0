"""Commands that are imported when they are called: `ostiary --help` and a shell's completion load none of them."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, NamedTuple, cast

from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """A command or a group.

    Attributes:
        module: of this package, that makes it: `build(context)`, or `build()` where it needs no file of a gateway's.
        help: its line in the list of commands.
        alone: it needs no file of a gateway's.
    """

    module: str
    help: str
    alone: bool = False


#: In the order of the list. A module that has a command of the entry's name gives that one; else it is the group.
ENTRIES: Final[Mapping[str, Entry]] = {
    "sessions": Entry("sessions", "What was recorded: list, show, tail, replay, export, kill."),
    "approvals": Entry("approvals", "Held commands: list, show, approve, deny, watch."),
    "policy": Entry("policy", "Policies: check, test, explain, simulate."),
    "audit": Entry("audit", "Is the log whole?"),
    "service-accounts": Entry(
        "service_accounts", "Identities for programs that have no issuer: create, list, disable, rotate, …"
    ),
    "admin": Entry("admin", "The local administrator: link."),
    "leases": Entry("leases", "Credentials that are lent: list, revoke."),
    "masking": Entry("masking", "Masked values: reveal."),
    "targets": Entry("targets", "What can be reached: list, show, test."),
    "login": Entry("login", "Log in at a gateway as a person, in the browser.", alone=True),
    "logout": Entry("login", "End a login: at the gateway, and on this machine.", alone=True),
    "whoami": Entry("whoami", "Who you are at a gateway, how that was proven, and what you may do there."),
    "token": Entry("client", "Print the token of the identity that this program runs with.", alone=True),
    "connect": Entry(
        "client",
        "Open a local way to a target, with a fresh token for each connection, until told to stop.",
        alone=True,
    ),
    "exec": Entry(
        "client",
        "Run a command with a way to a target in its environment (DATABASE_URL, PGHOST, …), and end as it ends.",
        alone=True,
    ),
    "serve": Entry("gateway", "Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."),
    "apply": Entry("applying", "Declare what the files declare, all of it or nothing, after showing what changes."),
    "check": Entry("gateway", "Validate the configuration and everything it points at."),
    "init": Entry("gateway", "Write a commented starter configuration."),
    "demo": Entry("gateway", "Start everything on loopback with embedded parts, and show the main job."),
    "schema": Entry("gateway", "Print the JSON Schema of the configuration file."),
}
Command = TyperCommand | TyperGroup


class Commands(Mapping[str, Command]):
    """All of them by name, each made when it is asked for."""

    def __init__(self, load: Callable[[str], Command]) -> None:
        self._load = load
        self._loaded: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in ENTRIES:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ENTRIES)

    def __len__(self) -> int:
        return len(ENTRIES)


class LazyGroup(TyperGroup):
    """The program's own group; its subclass says how commands are loaded."""

    @staticmethod
    def load(name: str) -> Command:
        """Make a command."""
        raise NotImplementedError

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("MutableMapping[str, Any]", Commands(self.load))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As ever; but where a shell only asks what may follow, no option of this group matters, nor needs Pydantic."""
        if ctx.resilient_parsing and not any(word.startswith("-") for word in args[:1]):
            ctx._protected_args, ctx.args = args[:1], args[1:]
            return args[1:]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, for help and completion."""
        return list(ENTRIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What help and completion show of a command."""
        entry = ENTRIES.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to run, or whose arguments are completed."""
        if args[0] in ENTRIES:
            return args[0], self.commands[args[0]], args[1:]
        return super().resolve_command(ctx, args)
