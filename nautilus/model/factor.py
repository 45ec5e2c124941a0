"""Questions to the factor engine: universe, returns, exposures, and their answers."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

MESSAGES: Final[tuple[type[Message], ...]] = ()

__all__ = ["MESSAGES"]
