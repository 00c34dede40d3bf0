"""The bytes of a recording: one JSON object a line, each line naming the hash of everything before it.

    {"v":1,"seq":7,"time":1767225600.123456,"kind":"intent","body":{…},"hash":"<64 hex>"}
    {"v":1,"seq":8,"time":1767225600.123981,"kind":"checkpoint","body":{},"hash":"<64 hex>","sig":"<128 hex>"}

The *content* of a line is its bytes before `,"hash":"`. Its hash is SHA-256 over the 64 hex characters of the line
before and the content, so a verifier needs no JSON canonicalisation. docs/recording.md is the specification.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from ostiary.core import (
    ActionFinished,
    ActionHeld,
    ActionRefused,
    IntentRecorded,
    LeaseIssued,
    Record,
    RowsSeen,
    SessionEnded,
    SessionStarted,
)

FORMAT: Final = 1
#: Texts longer than this many bytes of UTF-8 are stored cut, with their length and digest.
MAX_TEXT: Final = 64 * 1024
#: No line is longer; a reader may refuse to buffer more.
MAX_LINE: Final = 16 * 1024 * 1024


class FileType(StrEnum):
    """What a chained file holds. Part of everything that is signed, so one can't pass for the other."""

    RECORDING = "recording"
    HEADS = "heads"
    AUDIT = "audit"


class RecordingFailed(OSError):  # noqa: N818 - reads as what happened
    """A record could not be made durable as asked; the message is a sentence. After it the file takes no more."""


class DamagedRecording(ValueError):  # noqa: N818 - as above
    """A recording can't be read on; the message names the file and the line."""


class NewerFormat(DamagedRecording):
    """The file was written by a newer version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"written in format {version}; this version reads up to {FORMAT}: upgrade ostiary to read it")


@dataclass(frozen=True, slots=True)
class HeadsFile:
    """What a heads log looked like when a later one was begun."""

    name: str
    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Header:
    """First line of every file."""

    format: int
    type: str
    #: Session id, or name of the heads log or audit log.
    name: str
    #: Fingerprint of the key that signs.
    key: str
    #: The newest other heads logs; empty in a recording.
    previous: tuple[HeadsFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed line in the middle: what stands before it can't be rewritten without the key."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Last line of a finished file."""

    #: Lines before this one.
    records: int
    reason: str


class HeadEvent(StrEnum):
    """What happened to a recording."""

    OPENED = "opened"
    CHECKPOINT = "checkpoint"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class Head:
    """A line of a heads log: the hash of one line of one recording."""

    event: HeadEvent
    session_id: str
    #: Path of the recording, relative to the directory of recordings.
    file: str
    seq: int
    hash: str


class ChangeStage(StrEnum):
    """How far a change got."""

    #: Permitted, and about to be made: `after` is what was asked for.
    ASKED = "asked"
    #: Made: `after` is what came of it.
    DONE = "done"
    #: Not made: `reason` says why.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """A signed line of an audit log: somebody changed something through the API, or is about to."""

    stage: ChangeStage
    #: The same in the lines of one change.
    change_id: str
    #: `issuer:subject`, and the name of the proof.
    by: str
    proof_id: str
    #: Address of the client, "ip:port".
    source: str
    #: "approve", "administer"
    action: str
    #: "approvals/7K2PQ4MD", "sessions/5f2c…"
    resource: str
    #: Rules that permitted it.
    rules: tuple[str, ...]
    #: Why, in the words of whoever did it; at FAILED, of the gateway.
    reason: str
    #: What changes, as JSON.
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class SignInEvent(StrEnum):
    """What a person did, or did not get."""

    #: In a browser.
    SIGNED_IN = "signed-in"
    REFUSED = "refused"
    SIGNED_OUT = "signed-out"
    #: A client was given a login.
    GRANTED = "granted"
    #: Somebody decided on a device that waits.
    CONFIRMED = "confirmed"
    DENIED = "denied"
    #: A code or a refresh token came a second time, and what it gave was ended.
    REUSED = "reused"
    #: A one-time link was used for new credentials of the local administrator.
    SET_UP = "set-up"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A signed line of an audit log: somebody signed in or out, or could not. It is written before it is so."""

    event: SignInEvent
    #: `issuer:subject`; empty where nobody proved to be anybody.
    by: str
    #: "password", "passkey", or the name of the issuer.
    way: str
    #: "browser", "ostiary-cli"
    client: str
    #: Address of the client, "ip:port".
    source: str
    #: The login that it is about; empty where there is none.
    login_id: str
    #: Why, in the words of the gateway.
    reason: str


class TokenEvent(StrEnum):
    """What became of an access token of the gateway's."""

    ISSUED = "issued"
    #: The token endpoint gave none.
    REFUSED = "refused"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed line of an audit log: an access token, never its text. One is issued after its line is written."""

    event: TokenEvent
    #: `client_id` of the token; at REFUSED the client that proved itself, or empty.
    client: str
    #: `issuer:subject`; empty at REFUSED.
    principal: str
    #: `grant_type`; empty at REVOKED, and where it is none that is offered.
    grant: str
    #: Names of targets that it is bound to; none: not bound.
    targets: tuple[str, ...]
    #: Its id, the `proof_id` of sessions it opens; empty at REFUSED.
    jti: str
    #: Unix seconds; 0 at REFUSED.
    expires_at: float
    #: Address of the client, "ip:port".
    source: str
    #: Why it was refused: error code and description.
    reason: str


Body = Record | Header | Checkpoint | Seal | Head | Change | SignIn | AccessToken

KINDS: Final[Mapping[type[Body], str]] = {
    SessionStarted: "session_started",
    LeaseIssued: "lease_issued",
    IntentRecorded: "intent",
    ActionRefused: "refused",
    ActionHeld: "held",
    RowsSeen: "rows",
    ActionFinished: "finished",
    SessionEnded: "session_ended",
    Header: "header",
    Checkpoint: "checkpoint",
    Seal: "seal",
    Head: "head",
    Change: "change",
    SignIn: "sign_in",
    AccessToken: "token",
}
_DECODERS: Final = {name: msgspec.json.Decoder(kind) for kind, name in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Cut:
    """A text that was stored cut."""

    #: Field, and positions within it: "text", "parameters.2", "rows.0.5".
    at: str
    #: Length of the whole text in bytes of UTF-8.
    bytes: int
    #: Lower-case hex of its digest.
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, read."""

    seq: int
    #: Unix seconds, by the gateway's clock.
    time: float
    kind: str
    body: Body
    cuts: tuple[Cut, ...] = ()


def genesis(file_type: FileType, name: str) -> bytes:
    """What the first line's hash is chained to, 64 hex characters: it ties the chain to its name."""
    return hashlib.sha256(f"ostiary-{file_type}-1\n{name}\n".encode()).hexdigest().encode()


def signed_message(file_type: str, name: str, kind: str, seq: int, line_hash: str) -> bytes:
    """What a `sig` signs. `seq` is the count of lines before this one; the hash covers all of them."""
    return f"ostiary-{file_type}-1\n{name}\n{kind}\n{seq}\n{line_hash}\n".encode()


# ---------------------------------------------------------------- reading

_LINE: Final = re.compile(
    rb'(\{"v":(\d{1,9}),"seq":(\d{1,15}),"time":(\d{1,12}\.\d{6}),"kind":"([a-z_]{1,32})","body":.*)'
    rb',"hash":"([0-9a-f]{64})"(?:,"sig":"([0-9a-f]{128})")?\}\n'
)


class _Envelope(msgspec.Struct):
    body: msgspec.Raw
    cut: tuple[Cut, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line, split but not believed."""

    content: bytes
    version: int
    seq: int
    time: float
    kind: str
    hash: str
    #: Hex, "" when the line is not signed.
    signature: str

    def digest(self, previous: bytes) -> str:
        """The hash this line must have after `previous` (64 hex characters)."""
        return hashlib.sha256(previous + self.content).hexdigest()

    def entry(self) -> Entry:
        """The line with its typed body. Raises DamagedRecording."""
        if self.version > FORMAT:
            raise NewerFormat(self.version)
        decoder = _DECODERS.get(self.kind)
        if decoder is None:
            raise DamagedRecording(f"unknown kind of record {self.kind!r}")
        try:
            envelope = msgspec.json.decode(self.content + b"}", type=_Envelope)
            return Entry(self.seq, self.time, self.kind, decoder.decode(envelope.body), envelope.cut)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DamagedRecording(f"record {self.seq} of kind {self.kind} has an unreadable body ({error})") from None


def split(raw: bytes) -> Line | None:
    """A whole line with its newline, or None when it is not one this format has."""
    match = _LINE.fullmatch(raw)
    if match is None:
        return None
    text, version, seq, time, kind, digest, signature = match.groups()
    return Line(
        text,
        int(version),
        int(seq),
        float(time),
        kind.decode(),
        digest.decode(),
        signature.decode() if signature else "",
    )
