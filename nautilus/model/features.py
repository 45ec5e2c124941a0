"""Questions to the features engine: vectors and their registry, and their answers."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

MESSAGES: Final[tuple[type[Message], ...]] = ()

__all__ = ["MESSAGES"]
