"""A venue behind JSON lines on a socket: the protocol is in docs/venues.md, so that a bridge may be of any language."""

from nautilus.adapters.lines.adapter import LinesAdapter
from nautilus.adapters.lines.line import check_address
from nautilus.adapters.lines.messages import Translator, decode, submission

__all__ = ["LinesAdapter", "Translator", "check_address", "decode", "submission"]
