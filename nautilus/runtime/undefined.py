"""What `maths` says of a number that does not exist, as an error of the platform."""

from __future__ import annotations

from nautilus.maths.errors import Undefined
from nautilus.model.errors import AnalysisError


def told(error: Exception, where: str = "") -> Exception:
    """The same, with a code that the asker is told, where it is such a finding; else the error itself."""
    if isinstance(error, Undefined):
        return AnalysisError(error.what, reason=error.code, where=where, expected=error.expected)
    return error
