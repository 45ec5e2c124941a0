"""Base of every message on the mesh: a frozen, tagged msgspec array.

Arrays are small and quick; a field is only ever appended, with a default, so that an older reader skips what it does
not know and a newer one fills in what is missing.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Frozen after creation; on the wire ``[type name, field, field, ...]``."""
