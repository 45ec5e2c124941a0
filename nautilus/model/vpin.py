"""Questions to the vpin and enhanced-vpin engines: toxicity of order flow, and their answers."""

from __future__ import annotations

from typing import Final

from nautilus.model.message import Message

MESSAGES: Final[tuple[type[Message], ...]] = ()

__all__ = ["MESSAGES"]
