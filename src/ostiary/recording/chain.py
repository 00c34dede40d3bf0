"""The writing end of a chained file.

Two rules:

1. **What `push` returned from has left the process**, whole lines in one append. A short write is continued; one that
   can't be continued breaks the file: whatever half line it left is the last thing in it, because
2. **a broken or sealed file takes nothing more.** Every later call raises.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from ostiary.recording.format import (
    FORMAT,
    KINDS,
    Body,
    FileType,
    Header,
    HeadsFile,
    RecordingFailed,
    Seal,
    genesis,
    signed_message,
)
from ostiary.recording.keys import Signer
from ostiary.recording.writing import content


class Fsync(StrEnum):
    """When written bytes are forced to the disk. Until then they survive the process, not a loss of power."""

    NEVER = "never"
    CLOSE = "close"
    ALWAYS = "always"


class Chain:
    """One open chained file, locked for as long as its writer lives."""

    __slots__ = (
        "_clock",
        "_fd",
        "_fsync",
        "_pending",
        "_signer",
        "_stopped",
        "_type",
        "hash",
        "name",
        "path",
        "seq",
        "time",
    )

    def __init__(
        self,
        path: Path,
        file_type: FileType,
        name: str,
        signer: Signer,
        clock: Callable[[], float],
        fsync: Fsync,
        previous: tuple[HeadsFile, ...] = (),
    ) -> None:
        """Create the file (mode 0600; it must not exist) and write its signed header. Raises OSError."""
        self.path = path
        self.name = name
        #: Lines so far, those that wait included.
        self.seq = 0
        #: Hash of the last of them, 64 hex characters.
        self.hash = genesis(file_type, name)
        #: Unix seconds of the last of them.
        self.time = 0.0
        self._type = file_type
        self._signer = signer
        self._clock = clock
        self._fsync = fsync
        self._pending = bytearray()
        self._stopped = ""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        try:
            # Only a sign of life for readers: the kernel drops it with the process.
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.add_signed(Header(FORMAT, file_type.value, name, signer.fingerprint, previous))
            self.push()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def waiting(self) -> int:
        """Bytes that wait for `push`."""
        return len(self._pending)

    @property
    def stopped(self) -> bool:
        """True once the file is broken or sealed."""
        return bool(self._stopped)

    @property
    def released(self) -> bool:
        """True once the file is no longer the chain's."""
        return self._fd < 0

    def add(self, *bodies: Body) -> None:
        """Chain these lines for the next `push`: all, or none when this raises."""
        if self._stopped:
            raise RecordingFailed(self._stopped)
        seq, previous, time = self.seq, self.hash, self.time
        lines = bytearray()
        for body in bodies:
            time = self._clock()
            text = content(seq, time, body)
            previous = hashlib.sha256(previous + text).hexdigest().encode()
            seq += 1
            lines += text
            lines += b',"hash":"'
            lines += previous
            lines += b'"}\n'
        self.seq, self.hash, self.time = seq, previous, time
        self._pending += lines

    def add_signed(self, body: Body) -> None:
        """Chain one line with a signature over the hash of everything up to it."""
        self.add(body)
        message = signed_message(self._type, self.name, KINDS[type(body)], self.seq - 1, self.hash.decode())
        self._pending[-2:] = b',"sig":"%b"}\n' % self._signer.sign(message).hex().encode()

    def push(self) -> None:
        """Hand every waiting line to the operating system. Raises RecordingFailed; the file is broken from then on."""
        if self._stopped:
            raise RecordingFailed(self._stopped)
        if not self._pending:
            return
        try:
            written = os.write(self._fd, self._pending)
            while written < len(self._pending):
                step = os.write(self._fd, self._pending[written:])
                if step == 0:
                    raise OSError("the system accepted no bytes")
                written += step
            if self._fsync is Fsync.ALWAYS:
                os.fdatasync(self._fd)
        except BaseException as error:
            self._stopped = f"{self._type} {self.name} can't be written ({error}): free space, or look at its disk"
            self._pending.clear()
            if isinstance(error, OSError):
                raise RecordingFailed(self._stopped) from error
            raise
        self._pending.clear()

    def seal(self, reason: str) -> None:
        """Write the signed last line. Raises RecordingFailed; the file then stays without one."""
        self.add_signed(Seal(self.seq, reason))
        self.push()
        self._stopped = f"{self._type} {self.name} is sealed: nothing can be added"

    def share(self) -> int:
        """A second descriptor of the file, for the caller to sync and close."""
        return os.dup(self._fd)

    def release(self) -> int:
        """The file descriptor, for the caller to sync and close. The chain takes nothing more."""
        self._stopped = self._stopped or f"{self._type} {self.name} is closed: nothing can be added"
        fd, self._fd = self._fd, -1
        return fd
