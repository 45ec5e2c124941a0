"""The one place of the Python runtime that reads a clock."""

from __future__ import annotations

import time

NANOSECONDS = 1_000_000_000


monotonic_ns = time.perf_counter_ns
"""Nanoseconds that only ever go forward, from an arbitrary start: for durations."""
