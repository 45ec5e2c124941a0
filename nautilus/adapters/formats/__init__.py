"""Recorded formats: each has one reader here, whose hot part is in `nautilus.core`."""

from nautilus.adapters.formats.checks import BookCheck
from nautilus.adapters.formats.detect import open_file, open_recording
from nautilus.adapters.formats.recording import Block, FormatError, InstrumentHint, Recording, Update, UpdateKind
from nautilus.adapters.formats.table import Table
from nautilus.adapters.formats.validation import ValidationReport

__all__ = [
    "Block",
    "BookCheck",
    "FormatError",
    "InstrumentHint",
    "Recording",
    "Table",
    "Update",
    "UpdateKind",
    "ValidationReport",
    "open_file",
    "open_recording",
]
