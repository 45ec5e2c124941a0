"""What a target is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """What is fed; the exceptions that are answers; sound inputs; how dear one execution is against the others."""

    run: Callable[[bytes], None]
    answers: tuple[type[Exception], ...] = ()
    seeds: Callable[[], list[bytes]] = list
    cost: int = 1
