"""Questions to the risk engine: what a portfolio may lose, and its limits, and their answers."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

MESSAGES: Final[tuple[type[Message], ...]] = ()

__all__ = ["MESSAGES"]
