"""SCRAM-SHA-256 and -PLUS, the client's side (RFC 5802, RFC 7677); PostgreSQL's md5 method.

Pure: the nonce and the channel-binding data are handed in.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from ostiary.core import Secret
from ostiary.wire.contract import ProtocolError

#: A target that asks for more is refused: each iteration costs this process a hash.
MAX_ITERATIONS = 200_000
_HASH = "sha256"


def md5_password(username: str, password: Secret, salt: bytes) -> bytes:
    """`md5` + md5(md5(password + username) + salt) (PostgreSQL protocol, AuthenticationMD5Password)."""
    inner = hashlib.md5(password.reveal() + username.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


class ScramClient:
    """One exchange: `first()`, `final(server_first)`, `verify(server_final)`.

    Args:
        password: UTF-8; PostgreSQL's SASLprep leaves what it can't prepare as it is.
        nonce: at least 18 random bytes.
        binding: `tls-server-end-point` data of this leg's TLS when -PLUS was chosen.
        tls_without_plus: TLS is up and the server offered no -PLUS (gs2 flag `y`).
    """

    def __init__(
        self, password: Secret, nonce: bytes, binding: bytes | None = None, *, tls_without_plus: bool = False
    ) -> None:
        self._password = password
        self._nonce = b64encode(nonce)
        flag = b"p=tls-server-end-point" if binding is not None else (b"y" if tls_without_plus else b"n")
        self._gs2 = flag + b",,"
        self._binding = binding or b""
        self._bare = b"n=,r=" + self._nonce
        self._expected = b""

    def first(self) -> bytes:
        """client-first-message."""
        return self._gs2 + self._bare

    def final(self, server_first: bytes) -> bytes:
        """client-final-message. Raises ProtocolError for what RFC 5802 forbids."""
        fields = dict(part.partition(b"=")[::2] for part in server_first.split(b","))
        try:
            nonce, salt, iterations = fields[b"r"], b64decode(fields[b"s"], validate=True), int(fields[b"i"])
        except (KeyError, ValueError, Base64Error):
            raise ProtocolError("the target's SCRAM challenge is malformed") from None
        if b"m" in fields or not nonce.startswith(self._nonce) or len(nonce) <= len(self._nonce):
            raise ProtocolError("the target's SCRAM challenge does not continue ours")
        if not 1 <= iterations <= MAX_ITERATIONS:
            raise ProtocolError(f"the target asks for {iterations} SCRAM iterations; at most {MAX_ITERATIONS} are done")
        salted = hashlib.pbkdf2_hmac(_HASH, self._password.reveal(), salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", _HASH)
        bound = b"c=" + b64encode(self._gs2 + self._binding) + b",r=" + nonce
        message = self._bare + b"," + server_first + b"," + bound
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, _HASH)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._expected = hmac.digest(hmac.digest(salted, b"Server Key", _HASH), message, _HASH)
        return bound + b",p=" + b64encode(proof)

    def verify(self, server_final: bytes) -> None:
        """Check that the target knows the password too. Raises ProtocolError."""
        try:
            given = b64decode(server_final.removeprefix(b"v="), validate=True)
        except (ValueError, Base64Error):
            given = b""
        if not self._expected or not server_final.startswith(b"v=") or not hmac.compare_digest(given, self._expected):
            raise ProtocolError("the target did not prove that it knows the password")
