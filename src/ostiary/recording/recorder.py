"""The recording port: one chained file a session, and the heads log that says which files there must be.

A chain shows that a file was changed, not that it is gone or cut. So each process keeps a heads log: one signed,
chained line when a recording is opened, at its checkpoints and when it is sealed. A deleted or truncated recording
contradicts the heads log; a new heads log names the newest older ones, so a deleted heads log is missed as well.
"""

import contextlib
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Final, Literal

import structlog

from ostiary.core import Record
from ostiary.recording.chain import Chain, Fsync
from ostiary.recording.format import (
    AccessToken,
    Change,
    Checkpoint,
    FileType,
    Head,
    HeadEvent,
    HeadsFile,
    SignIn,
    split,
)
from ostiary.recording.keys import Signer
from ostiary.recording.layout import file_of, heads_logs

log = structlog.get_logger()

#: Bytes that `later` may keep waiting.
WAITING_BYTES: Final = 64 * 1024
#: A signed checkpoint follows after as many records, or seconds, at the next write.
CHECKPOINT_RECORDS: Final = 4096
CHECKPOINT_SECONDS: Final = 60.0
#: Older heads logs that a new one names.
_PREVIOUS: Final = 16
_TAIL: Final = 64 * 1024
#: Finished files that may wait for the disk; then closing waits with them.
_SYNCS: Final = 256


@dataclass(slots=True)
class _Process:
    """What can't be shared with a forked child."""

    pid: int
    day: int
    heads: Chain
    #: Syncs and closes finished files, so that no session waits for another one's disk.
    syncer: "_Syncer"


class _Syncer:
    """Forces files to the disk in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording-sync")
        self._room = BoundedSemaphore(_SYNCS)

    def sync(self, path: Path, *fds: int) -> None:
        """Force files and the folder of the first to the disk, then close them. Waits only when many wait already."""
        self._room.acquire()
        self._pool.submit(_sync, path, *fds).add_done_callback(lambda _: self._room.release())

    def finish(self) -> None:
        """Wait for all of them."""
        self._pool.shutdown(wait=True)


class FileRecording:
    """Recordings as files under one directory. Implements `gate.ports.Recording`."""

    def __init__(
        self,
        directory: Path,
        signer: Signer,
        clock: Callable[[], float] = time.time,
        fsync: Literal["never", "close", "always"] = "close",
    ) -> None:
        """Prepare the directory and publish the public key. Raises OSError, PermissionError for an open directory."""
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if directory.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{directory}: other users may write to the recordings: run `chmod go-w {directory}`")
        (directory / "heads").mkdir(mode=0o750, exist_ok=True)
        signer.publish(directory)
        self._directory = directory
        self._signer = signer
        self._clock = clock
        self._fsync = Fsync(fsync)
        self._process: _Process | None = None
        #: Recordings since the process began: begun, sealed, left without a seal; and lines of those that are closed.
        self.opened = self.sealed = self.unsealed = self.records = 0

    def open(self, session_id: str) -> "FileRecorder":
        """Begin a recording. Raises OSError, ValueError for an id that is no file name; then there is none."""
        file = file_of(session_id, self._clock())
        path = self._directory / file
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        chain = Chain(path, FileType.RECORDING, session_id, self._signer, self._clock, self._fsync)
        try:
            self.note(HeadEvent.OPENED, file, chain)
        except BaseException:
            os.close(chain.release())
            raise
        self.opened += 1
        return FileRecorder(self, chain, file)

    def close(self) -> None:
        """Seal the heads log and wait until finished files are synced. Never raises."""
        process, self._process = self._process, None
        if process is None or process.pid != os.getpid():
            return
        self._finish(process.heads, "closed", process.syncer)
        process.syncer.finish()

    # ------------------------------------------------------------ for the recorder and the audit log

    def now(self) -> float:
        """Unix seconds, by its clock."""
        return self._clock()

    def new_audit_log(self, pid: int) -> Chain:
        """Begin one; the heads log knows of it. Raises OSError."""
        folder = self._directory / "audit"
        folder.mkdir(mode=0o750, exist_ok=True)
        name = _name_of_log(self._clock(), pid)
        path = folder / f"{name}.log"
        chain = Chain(path, FileType.AUDIT, name, self._signer, self._clock, self._fsync)
        try:
            self.note(HeadEvent.OPENED, _file_of_log(chain), chain)
        except BaseException:
            os.close(chain.release())
            raise
        return chain

    def note(self, event: HeadEvent, file: Path, chain: Chain) -> None:
        """Write the last line of a recording into the heads log. Raises RecordingFailed."""
        heads = self._here().heads
        heads.add_signed(Head(event, chain.name, file.as_posix(), chain.seq - 1, chain.hash.decode()))
        heads.push()

    def retire(self, chain: Chain) -> None:
        """Sync a finished recording, then the heads log, as the policy asks; close its file. Raises OSError."""
        fd = chain.release()
        if self._fsync is Fsync.NEVER:
            os.close(fd)
            return
        try:
            process = self._here()
            heads = process.heads.share()
        except BaseException:
            os.close(fd)  # else its lock would show a writer at work
            raise
        process.syncer.sync(chain.path, fd, heads)

    # ------------------------------------------------------------ inside

    def _here(self) -> _Process:
        """This process's heads log: a new one after a fork, on a new day, and when the last one broke."""
        process, pid, day = self._process, os.getpid(), int(self._clock() // 86400)
        if process is not None and process.pid == pid:
            if process.day == day and not process.heads.stopped:
                return process
            heads = self._new_heads(pid)
            self._finish(process.heads, "continued in a newer file", process.syncer)
            process.day, process.heads = day, heads
            return process
        self._process = _Process(pid, day, self._new_heads(pid), _Syncer())
        return self._process

    def _new_heads(self, pid: int) -> Chain:
        name = _name_of_log(self._clock(), pid)
        previous = tuple(
            head for path in heads_logs(self._directory)[-_PREVIOUS:] if (head := _last_line(path)) is not None
        )
        path = self._directory / "heads" / f"{name}.log"
        return Chain(path, FileType.HEADS, name, self._signer, self._clock, self._fsync, previous)

    def _finish(self, heads: Chain, reason: str, syncer: _Syncer) -> None:
        if not heads.stopped:
            try:
                heads.seal(reason)
            except OSError as error:
                log.warning("the heads log could not be sealed", file=str(heads.path), error=str(error))
        fd = heads.release()
        if self._fsync is Fsync.NEVER:
            os.close(fd)
        else:
            syncer.sync(heads.path, fd)


class FileRecorder:
    """One session's recording. Implements `gate.ports.Recorder`."""

    __slots__ = ("_chain", "_due_seq", "_due_time", "_file", "_recording")

    def __init__(self, recording: FileRecording, chain: Chain, file: Path) -> None:
        self._recording = recording
        self._chain = chain
        self._file = file
        self._due_seq = CHECKPOINT_RECORDS
        self._due_time = chain.time + CHECKPOINT_SECONDS

    def write(self, *records: Record) -> None:
        """Append what waits and these; with the operating system when this returns. Raises RecordingFailed."""
        chain = self._chain
        chain.add(*records)
        if chain.seq >= self._due_seq or chain.time >= self._due_time:
            self._checkpoint()
        else:
            chain.push()

    def later(self, *records: Record) -> None:
        """Append these with the next `write`, or now when 64 KiB wait. Raises RecordingFailed."""
        self._chain.add(*records)
        if self._chain.waiting > WAITING_BYTES:
            self._chain.push()

    def flush(self) -> None:
        """Write what waits. Raises RecordingFailed, also when an earlier write had failed."""
        self.write()

    def close(self, reason: str) -> None:
        """Seal. Never raises: a recording that can't be sealed stays without a seal, and the log says why."""
        if self._chain.released:
            return
        self._recording.records += self._chain.seq
        try:
            self._chain.seal(reason)
            self._recording.note(HeadEvent.SEALED, self._file, self._chain)
            self._recording.sealed += 1
        except Exception as error:  # noqa: BLE001 - the session is over; verification shows the missing seal
            self._recording.unsealed += 1
            log.warning("the recording could not be sealed", session=self._chain.name, error=str(error))
        try:
            self._recording.retire(self._chain)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("the recording could not be synced", session=self._chain.name, error=str(error))

    def _checkpoint(self) -> None:
        chain = self._chain
        chain.add_signed(Checkpoint())
        chain.push()
        self._due_seq = chain.seq + CHECKPOINT_RECORDS
        self._due_time = chain.time + CHECKPOINT_SECONDS
        self._recording.note(HeadEvent.CHECKPOINT, self._file, chain)


class AuditLog:
    """Changes through the API, people who sign in, tokens: a signed, chained file a process and day, made when needed.

    The heads log vouches for each of its lines, as it does for recordings: one that is gone is missed.
    """

    def __init__(self, recording: FileRecording) -> None:
        self._recording = recording
        self._chain: Chain | None = None
        self._day = -1
        self._pid = 0

    def write(self, line: AccessToken | Change | SignIn) -> None:
        """Append; the bytes have left the process when this returns. Raises OSError: it must not happen then."""
        chain = self._here()
        chain.add_signed(line)
        chain.push()
        self._recording.note(HeadEvent.CHECKPOINT, _file_of_log(chain), chain)

    def close(self) -> None:
        """Seal. Never raises: without a seal verification says so."""
        chain, self._chain = self._chain, None
        if chain is None or self._pid != os.getpid():
            return
        try:
            chain.seal("closed")
            self._recording.note(HeadEvent.SEALED, _file_of_log(chain), chain)
        except Exception as error:  # noqa: BLE001 - as said above
            log.warning("the audit log could not be sealed", file=str(chain.path), error=str(error))
        try:
            self._recording.retire(chain)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("the audit log could not be synced", file=str(chain.path), error=str(error))

    def _here(self) -> Chain:
        pid, day = os.getpid(), int(self._recording.now() // 86400)
        chain = self._chain
        if chain is not None and self._pid == pid and self._day == day and not chain.stopped:
            return chain
        self.close()
        self._chain, self._pid, self._day = self._recording.new_audit_log(pid), pid, day
        return self._chain


def _file_of_log(chain: Chain) -> Path:
    return Path(chain.path.parent.name, chain.path.name)


def _name_of_log(now: float, pid: int) -> str:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    node = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())[:64]
    return f"{stamp}.{int(now % 1 * 1e6):06d}Z-{node}-{pid}-{secrets.token_hex(4)}"


def _sync(path: Path, *fds: int) -> None:
    """Force files and the folder of the first to the disk, and close them."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for fd in (*fds, folder):
                os.fsync(fd)
        finally:
            os.close(folder)
    except OSError as error:
        log.warning("a finished recording could not be forced to the disk", file=str(path), error=str(error))
    finally:
        for fd in fds:
            os.close(fd)


def _last_line(path: Path) -> HeadsFile | None:
    """The last whole line of a heads log; None when there is none, so that a torn file hinders nobody."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        for raw in reversed(file.read(_TAIL).splitlines(keepends=True)):
            line = split(raw)
            if line is not None:
                return HeadsFile(path.stem, line.seq, line.hash)
    return None
