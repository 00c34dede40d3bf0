"""The gateway's signing keys: when they turn, and their file."""

import stat
from itertools import count
from pathlib import Path

import pytest

from ostiary.accounts.signing_keys import AROUND, SIGNS, SigningKey, SigningKeys, SigningKeysError, signer, turned
from tests.identity.fakes import ec_key


def test_a_life_of_keys() -> None:
    """Published a day before it signs and a day after it signed; there is a signer at every hour; two at most."""
    names = count()
    keys: tuple[SigningKey, ...] = ()
    signed: dict[str, list[float]] = {}
    published: dict[str, list[float]] = {}
    hours = [hour * 3600.0 for hour in range(int(4 * SIGNS // 3600))]
    for now in hours:
        keys = turned(keys, now, lambda: ec_key(f"k{next(names)}"))
        assert len(keys) <= 2
        signed.setdefault(signer(keys, now).kid, []).append(now)
        for key in keys:
            published.setdefault(key.kid, []).append(now)
    assert list(signed) == ["k0", "k1", "k2", "k3"]
    for kid in ("k1", "k2"):
        assert signed[kid][0] - published[kid][0] == AROUND
        assert published[kid][-1] - signed[kid][-1] == AROUND
    assert published["k0"][-1] - signed["k0"][-1] == AROUND


def test_the_file(tmp_path: Path) -> None:
    """Private, read by others that share it, rotated for all of them; what is in it stays good."""
    now = 1000.0
    path = tmp_path / "issuer.keys"
    one, two = (SigningKeys(path, lambda: now) for _ in range(2))
    first = one.signer()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert two.signer().kid == first.kid
    assert two.signer().key.as_dict(private=True) == first.key.as_dict(private=True)
    now += SIGNS
    assert [key.kid for key in two.all()] == [key.kid for key in one.all()]
    assert one.signer().kid == first.kid
    now += AROUND
    assert one.signer().kid == two.signer().kid != first.kid
    assert [key["kid"] for key in one.jwks()["keys"]] == [first.kid, one.signer().kid]
    assert not any("d" in key for key in one.jwks()["keys"])
    assert sorted(each.name for each in tmp_path.iterdir()) == [".issuer.keys.lock", "issuer.keys"]


def test_files_that_are_none(tmp_path: Path) -> None:
    """Open to others, or of something else: a sentence, and it is left as it is."""
    path = tmp_path / "issuer.keys"
    SigningKeys(path, lambda: 0.0).all()
    path.chmod(0o640)
    with pytest.raises(SigningKeysError, match="open to other users"):
        SigningKeys(path, lambda: 0.0).all()
    path.chmod(0o600)
    for text in ("", "[{}]", "{}x", '[{"created_at": 1, "key": {"kid": "x", "kty": "EC"}}]'):
        path.write_text(text)
        with pytest.raises(SigningKeysError, match="does not hold signing keys"):
            SigningKeys(path, lambda: 0.0).all()
        assert path.read_text() == text
