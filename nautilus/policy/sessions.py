"""Session tokens: what a key's owner gets for a signed request, to show instead of signing each one.

Nothing is kept of a token. It names its key, its scopes and its end, with a keyed hash of these; it ends with its key,
also where that is revoked.

::

    nks_ base64url(key id, 0-padded to 32 | scopes, a bit each | end, seconds since the epoch | nonce of 8 | hash of 24)
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from nautilus.policy.keys import SCOPES

PREFIX: Final = "nks_"
HASH_BYTES: Final = 24
NONCE_BYTES: Final = 8
_BODY: Final = Struct("<32sBQ8s")


class Session(NamedTuple):
    """What a token says."""

    key: str
    scopes: frozenset[str]
    expires_ns: int


def session_token(key: bytes, session: Session, nonce: bytes) -> str:
    """A token.

    Parameters
    ----------
    key
        `Derived.sessions`.
    nonce
        8 random bytes: two tokens are never the same.
    """
    body = _BODY.pack(session.key.encode(), _bits(session.scopes), session.expires_ns // 1_000_000_000, nonce)
    return PREFIX + base64.urlsafe_b64encode(body + _hash(key, body)).decode().rstrip("=")


def read_session(key: bytes, token: bytes) -> Session | None:
    """What a token says; None where it is none that this key has made. Whether its time is over is the caller's."""
    text = token.removeprefix(PREFIX.encode())
    size = _BODY.size + HASH_BYTES
    if len(text) != (size * 4 + 2) // 3:
        return None
    try:
        whole = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body = whole[: _BODY.size]
    if len(whole) != size or not hmac.compare_digest(_hash(key, body), whole[_BODY.size :]):
        return None
    name, bits, ends, _ = _BODY.unpack(body)
    return Session(name.rstrip(b"\0").decode(), _scopes(bits), ends * 1_000_000_000)


def _hash(key: bytes, body: bytes) -> bytes:
    return blake2b(body, key=key, digest_size=HASH_BYTES, person=b"nautilus.session").digest()


def _bits(scopes: Iterable[str]) -> int:
    return sum(1 << SCOPES.index(scope) for scope in scopes)


def _scopes(bits: int) -> frozenset[str]:
    return frozenset(scope for number, scope in enumerate(SCOPES) if bits >> number & 1)
