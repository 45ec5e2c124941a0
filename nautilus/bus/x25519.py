"""X25519 (RFC 7748): the secret that two holders of CURVE keys have in common, which libzmq does not give out.

It is needed once for each pair of processes that meet, never for a message: a multiplication costs some milliseconds
here. Its time depends on the numbers; who could measure it would have to sit in this process.
"""

from __future__ import annotations

from typing import Final

KEY_BYTES: Final = 32
BASE_POINT: Final = (9).to_bytes(KEY_BYTES, "little")
_P: Final = 2**255 - 19
_A24: Final = 121665


def multiply(scalar: bytes, point: bytes = BASE_POINT) -> bytes:
    """The point times the scalar, each of 32 bytes; ValueError for another length, or where the result is zero.

    A result of zero comes of points that nobody holds the secret of: what is derived from it would be no secret.
    """
    if len(scalar) != KEY_BYTES or len(point) != KEY_BYTES:
        raise ValueError(f"keys of {len(scalar)} and {len(point)} bytes; expected {KEY_BYTES} each")
    number = int.from_bytes(scalar, "little")
    number = number & ~(7 | 1 << 255) & (1 << 255) - 1 | 1 << 254
    u = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3, swapped = 1, 0, u, 1, 0
    for place in reversed(range(255)):
        bit = number >> place & 1
        if swapped ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swapped = bit
        a, b = x2 + z2, x2 - z2
        aa, bb = a * a % _P, b * b % _P
        e = aa - bb
        da, cb = (x3 - z3) * a % _P, (x3 + z3) * b % _P
        x3, z3 = (da + cb) ** 2 % _P, u * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + _A24 * e) % _P
    if swapped:
        x2, x3, z2, z3 = x3, x2, z3, z2
    found = x2 * pow(z2, _P - 2, _P) % _P
    if not found:
        raise ValueError("a point of small order; expected a public key")
    return found.to_bytes(KEY_BYTES, "little")
