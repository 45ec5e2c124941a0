"""Names of directories for any symbol."""

from __future__ import annotations

import re
from urllib.parse import unquote

from nautilus.store.catalog_errors import CatalogError

LONGEST_TEXT = 128
"""Letters of a key."""
LONGEST_NAME = 200
"""Bytes of a directory's name: file systems take 255, and it begins with ``instrument=``."""


_SAFE = re.compile(rb"[A-Za-z0-9_@.+-]")


def safe_name(key: str) -> str:
    """A key as the name of a directory: what is not a letter, digit or one of ``_@.+-`` becomes ``%XX``.

    ``unquote`` gives the key back. No name begins with a dot, so none is hidden, ``.`` or ``..``.
    """
    encoded = "".join(
        chr(byte) if _SAFE.match(bytes((byte,))) and not (byte == 0x2E and at == 0) else f"%{byte:02X}"
        for at, byte in enumerate(key.encode("utf-8", "surrogatepass"))
    )
    if len(encoded) > LONGEST_NAME:
        raise CatalogError(
            f"the name {key[:LONGEST_TEXT]!r} is too long", expected=f"at most {LONGEST_NAME} bytes in a path"
        )
    return encoded


def key_of_name(name: str) -> str:
    """Inverse of `safe_name`."""
    return unquote(name)
