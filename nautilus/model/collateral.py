"""Questions to the collateral engine: margin, contracts, calls, and their answers."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

MESSAGES: Final[tuple[type[Message], ...]] = ()

__all__ = ["MESSAGES"]
