"""A directory of recordings, its writer, and what a verifier of it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ostiary.recording import FileRecording, Signer
from tests.recording.kit import Clock


@pytest.fixture(scope="session")
def signer() -> Signer:
    """The gateway's key."""
    return Signer(Ed25519PrivateKey.generate())


@pytest.fixture
def clock() -> Clock:
    """Time as the test says."""
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where recordings are."""
    return tmp_path / "recordings"


@pytest.fixture
def recording(directory: Path, signer: Signer, clock: Clock) -> Iterator[FileRecording]:
    """The writer."""
    made = FileRecording(directory, signer, clock, fsync="never")
    yield made
    made.close()
