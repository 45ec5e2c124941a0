"""How much of a costly test the daily run takes: `make test` a share, `make soak` (`NAUTILUS_SEEDS`) all of it.

What is marked `long` is left out there; `make long` runs that.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

SOAKING = "NAUTILUS_SEEDS" in os.environ


def share(whole: int, part: int = 4) -> int:
    """The whole number of rounds or examples when soaking, else a `part`-th of it, one at least."""
    return whole if SOAKING else max(1, whole // part)


def stride(step: int = 4) -> int:
    """Every place when soaking, else each `step`-th. A step prime to the structure's own reaches each kind of place."""
    return 1 if SOAKING else step


def one_of(first: Any, *others: Any) -> list[Any]:
    """Values of a parameter: the first in the daily run, all in the long one."""
    rest = [each if isinstance(each, tuple) else (each,) for each in others]
    return [first, *(pytest.param(*each, marks=pytest.mark.long) for each in rest)]
