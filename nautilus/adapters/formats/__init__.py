"""Recorded formats: each has one reader here, whose hot part is in `nautilus.core`."""

from nautilus.adapters.formats.checks import BookCheck
from nautilus.adapters.formats.detect import open_recording
from nautilus.adapters.formats.recording import FormatError, InstrumentHint, Recording, Update, UpdateKind

__all__ = ["BookCheck", "FormatError", "InstrumentHint", "Recording", "Update", "UpdateKind", "open_recording"]
