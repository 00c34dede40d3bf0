"""Where a configured secret is read from. Read anew each time it is used, so that rotating it needs no restart."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ostiary.core import Secret

#: No password or token is longer; a wrong path (a disk, a log) must not be read into memory.
MAX_BYTES = 64 * 1024


class SecretUnavailable(Exception):  # noqa: N818 - a state of the machine; its message names the source, never the value
    """The secret could not be read."""


@dataclass(frozen=True, slots=True)
class EnvSource:
    """`{env: NAME}`: an environment variable of the gateway."""

    name: str

    def read(self) -> Secret:
        """The value, unchanged. Raises SecretUnavailable when it is unset or empty."""
        value = os.environb.get(self.name.encode())
        if not value:
            state = "is not set" if value is None else "is empty"
            raise SecretUnavailable(f"environment variable {self.name} {state}; set it where the gateway is started")
        return Secret(value)


@dataclass(frozen=True, slots=True)
class FileSource:
    """`{file: PATH}`: a file; one newline at its end is not part of the secret."""

    path: Path

    def read(self) -> Secret:
        """The contents. Raises SecretUnavailable: unreadable, empty, over `MAX_BYTES`, or readable by everyone."""
        try:
            # Without O_NONBLOCK a named pipe would hold the gateway up.
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise SecretUnavailable(f"{self.path} is not a regular file; a secret must be a file of its own")
                if status.st_mode & stat.S_IROTH:
                    raise SecretUnavailable(
                        f"{self.path} can be read by every user of this machine "
                        f"(mode {stat.S_IMODE(status.st_mode):04o}); run: chmod o-rwx {self.path}"
                    )
                value = file.read(MAX_BYTES + 1)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise SecretUnavailable(f"{self.path} can't be read: {why}") from None
        if len(value) > MAX_BYTES:
            raise SecretUnavailable(f"{self.path} is larger than {MAX_BYTES} bytes; a secret must be a file of its own")
        value = value.removesuffix(b"\n").removesuffix(b"\r")
        if not value:
            raise SecretUnavailable(f"{self.path} is empty; write the secret into it")
        return Secret(value)


SecretSource = EnvSource | FileSource
