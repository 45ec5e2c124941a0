"""The few commands out of many that still show a defect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def shrink(commands: np.ndarray, fails: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Leave out commands, ever smaller groups of them, while `fails` stays true; then clear fields that do not matter.

    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), the plain form.
    """
    assert fails(commands), "expected commands that fail"
    size = max(1, len(commands) // 2)
    while True:
        at, smaller = 0, False
        while at < len(commands):
            rest = np.concatenate([commands[:at], commands[at + size :]])
            if len(rest) and fails(rest):
                commands, smaller = rest, True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    for place in range(len(commands)):
        for name in commands.dtype.names or ():
            if name != "kind" and commands[name][place]:
                simpler = commands.copy()
                simpler[name][place] = 0
                if fails(simpler):
                    commands = simpler
    return commands
