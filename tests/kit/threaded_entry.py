"""A module that starts a thread when it is imported, so that no fork of the process is sound."""

from __future__ import annotations

import threading

_STARTED = threading.Thread(target=threading.Event().wait, daemon=True)
_STARTED.start()


def run(*_: object) -> int:
    """Never reached."""
    return 1
