"""Signed requests: how one is signed, and whether a signature is right.

::

    Nautilus-Signature: key=K, algorithm=A, timestamp=T, nonce=N, digest=D, signature=S

S = A(signing key of K, method "\\n" target "\\n" D "\\n" T "\\n" N), in hexadecimal; D is the hash of the body, by
BLAKE2b with 32 bytes or by SHA-256, as A is `blake2b` or `hmac-sha256`. The target is path and query, as they are sent.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b, sha256
from typing import Final

from nautilus.policy.keys import signing_key

HEADER: Final = "Nautilus-Signature"
ALGORITHMS: Final = ("blake2b", "hmac-sha256")
"""In the order of their numbers (`nautilus.core.signature`)."""


def body_digest(algorithm: int, body: bytes) -> bytes:
    """The hash of a body, as an algorithm has it."""
    return sha256(body).digest() if algorithm else blake2b(body, digest_size=32).digest()


EMPTY: Final = tuple(body_digest(number, b"") for number in range(len(ALGORITHMS)))
"""The hash of no body."""


def signature_of(algorithm: int, signing: bytes, message: bytes) -> bytes:
    """The signature of a message."""
    if algorithm:
        return hmac.digest(signing, message, "sha256")
    return blake2b(message, key=signing, digest_size=32).digest()


def signed_header(
    id: str,
    secret: str,
    method: str,
    target: bytes,
    body: bytes,
    timestamp_ms: int,
    nonce: str,
    *,
    algorithm: str = "blake2b",
) -> str:
    """The value of the header of a request, for who has the secret of a key.

    Parameters
    ----------
    target
        Path and query, exactly as they are sent.
    timestamp_ms
        Milliseconds since the epoch.
    nonce
        8 to 64 letters, digits, `-`, `_` or `.` that this key has not used within the window.
    """
    number = ALGORITHMS.index(algorithm)
    digest = body_digest(number, body).hex()
    message = b"\n".join((method.encode(), target, digest.encode(), str(timestamp_ms).encode(), nonce.encode()))
    signature = signature_of(number, signing_key(secret), message).hex()
    return (
        f"key={id}, algorithm={algorithm}, timestamp={timestamp_ms}, nonce={nonce}, digest={digest}, "
        f"signature={signature}"
    )
