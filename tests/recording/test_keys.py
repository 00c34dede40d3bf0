"""The key that signs recordings."""

import pickle
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ostiary.recording import FileRecording, KeyProblem, Signer, State, TrustedKeys, verify_all
from tests.recording.kit import Clock, record, trusted


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    """Mode 0600, no draft left behind, and the same key at the next start."""
    path = tmp_path / "made" / "key.pem"
    first = Signer.load(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert Signer.load(path).fingerprint == first.fingerprint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that closes it."""
    path = tmp_path / "key.pem"
    Signer.load(path)
    path.chmod(mode)
    with pytest.raises(KeyProblem, match="run `chmod 600"):
        Signer.load(path)


def test_other_keys_are_refused(tmp_path: Path) -> None:
    """Neither another algorithm nor anything that is no key, and their bytes are not quoted."""
    path = tmp_path / "key.pem"
    other = generate_private_key(SECP256R1())
    for content, reason in (
        (b"hunter2", "not an unencrypted PEM"),
        (b"", "not an unencrypted PEM"),
        (other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "not an Ed25519 key"),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyProblem, match=reason) as caught:
            Signer.load(path)
        assert "hunter2" not in str(caught.value)


def test_trusted_keys_say_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    """No key, a key of another algorithm, no key at all."""
    public = tmp_path / "a.pub"
    public.write_bytes(b"nothing")
    with pytest.raises(KeyProblem, match="not a PEM public key"):
        TrustedKeys.load(public)
    other = generate_private_key(SECP256R1()).public_key()
    public.write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyProblem, match="not an Ed25519 public key"):
        TrustedKeys.load(tmp_path)
    public.unlink()
    with pytest.raises(KeyProblem, match="no public key in"):
        TrustedKeys.load(tmp_path)


def test_signer_keeps_its_key(tmp_path: Path) -> None:
    """Neither repr nor pickle has it."""
    signer = Signer.load(tmp_path / "key.pem")
    assert repr(signer) == f"Signer({signer.fingerprint[:16]}…)"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(signer)


def test_rotated_key_leaves_old_recordings_verifiable(tmp_path: Path) -> None:
    """`keys/` keeps both public keys; `recording.pub` is the new one, which alone does not do for the old files."""
    directory, clock = tmp_path / "recordings", Clock()
    signers = [Signer.load(tmp_path / "old.pem"), Signer.load(tmp_path / "new.pem")]
    for number, signer in enumerate(signers):
        recording = FileRecording(directory, signer, clock, "never")
        record(recording, f"s{number}")
        recording.close()
        clock.now += 1
    both = TrustedKeys.load(directory / "keys")
    assert {verdict.state for verdict in verify_all(directory, both)} == {State.INTACT}
    new = TrustedKeys.load(directory / "recording.pub")
    assert new.by_fingerprint.keys() == trusted(signers[1]).by_fingerprint.keys()
    assert {v.name: v.state for v in verify_all(directory, new) if v.type == "recording"} == {
        "s0": State.TAMPERED,
        "s1": State.INTACT,
    }
