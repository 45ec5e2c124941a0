"""How much of a costly test the daily run takes: `make test` a share, `make soak` (`NAUTILUS_SEEDS`) all of it."""

from __future__ import annotations

import os

SOAKING = "NAUTILUS_SEEDS" in os.environ


def share(whole: int, part: int = 4) -> int:
    """The whole number of rounds or examples when soaking, else a `part`-th of it, one at least."""
    return whole if SOAKING else max(1, whole // part)


def stride(step: int = 4) -> int:
    """Every place when soaking, else each `step`-th. A step prime to the structure's own reaches each kind of place."""
    return 1 if SOAKING else step
