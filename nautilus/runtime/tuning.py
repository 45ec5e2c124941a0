"""What the process of the strategy engine asks of its machine and of its interpreter: the section `strategy`.

`bus.own_core` of the engine comes after it and takes its one thread to a core of its own.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nautilus.core.affinity import Grant, huge_pages
from nautilus.engines.strategy import StrategyConfig

if TYPE_CHECKING:
    from nautilus.runtime.plan import Plan

ENGINE = "strategy"
YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""Objects, and rounds, between two looks of the garbage collector: what is frozen, it does not look at."""
HUGE_BYTES = 2 << 20
MADV_HUGEPAGE = 14
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 +(\[heap\])?")
_LOGGER = logging.getLogger("nautilus.runtime")


def tune(plan: Plan, process: str) -> list[Grant]:
    """Ask for what the settings want for the process that hosts strategies; what was got. Others are left alone."""
    if ENGINE not in plan.process(process).engines:
        return []
    settings = plan.config(ENGINE, StrategyConfig)
    grants = []
    if settings.gc_tuning:
        grants.append(spare_collections())
    if settings.huge_pages:
        grants.append(ask_huge_pages())
    if settings.cpu_affinity:
        grants.append(pin_all(settings.cpu_affinity))
    for grant in grants:
        level = logging.INFO if grant.granted else logging.WARNING
        _LOGGER.log(level, "machine: %s %sgranted: %s", grant.what, "" if grant.granted else "not ", grant.found)
    return grants


def handler_budget_ms(plan: Plan, process: str, limit_ms: int) -> int:
    """What a handler of a process may take before it is counted and named: of strategies their target, where lower."""
    if ENGINE not in plan.process(process).engines:
        return limit_ms
    return min(limit_ms, max(1, math.ceil(plan.config(ENGINE, StrategyConfig).latency_target_ms)))


def spare_collections() -> Grant:
    """Take all there is now out of the sight of the garbage collector, and let it look less often at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    return Grant(
        "garbage collection", True, f"{gc.get_freeze_count():,} objects frozen, a look each {YOUNG:,} new ones"
    )


def pin_all(cores: Iterable[int]) -> Grant:
    """Let every thread of this process, and those that they start, run on some cores alone."""
    wanted = set(cores)
    wish = "processors " + ",".join(map(str, sorted(wanted)))
    usable = wanted & os.sched_getaffinity(0)
    if not usable:
        own = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        return Grant("affinity", False, f"{wish}: none of them is this process's, which has {own}")
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), usable)
        except ProcessLookupError:
            continue  # it has just ended
        except OSError as error:
            return Grant("affinity", False, f"{wish}: {os.strerror(error.errno or 0)}")
    missing = ",".join(map(str, sorted(wanted - usable)))
    return Grant("affinity", not missing, f"{wish}: not there: {missing}" if missing else wish)


def ask_huge_pages() -> Grant:
    """Ask for huge pages for the memory that this process has now, where the machine gives them on request."""
    mode = huge_pages()["mode"]
    if mode not in ("madvise", "always"):
        return Grant("huge pages", False, f"this machine has them {mode}")
    asked = 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    for start, end in _large_mappings():
        if advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_HUGEPAGE) == 0:
            asked += end - start
    return Grant("huge pages", True, f"asked for {asked >> 20} MiB, which the machine turns into such pages as it can")


def _large_mappings() -> Iterator[tuple[int, int]]:
    """Memory of this process alone that has room for a huge page: where each begins and ends, on whole ones.

    Stacks of threads are left out, which would grow to a huge page each: a page that nobody may touch lies before them.
    """
    guarded = ""
    for line in Path("/proc/self/maps").read_text().splitlines():
        match = _MAPPING.fullmatch(line.rstrip())
        if match and match[1] != guarded:
            start, end = -(-int(match[1], 16) // HUGE_BYTES) * HUGE_BYTES, int(match[2], 16) // HUGE_BYTES * HUGE_BYTES
            if start < end:
                yield start, end
        places, rights = line.split(" ", 2)[:2]
        guarded = places.partition("-")[2] if rights.startswith("---") else ""


__all__ = ["ask_huge_pages", "handler_budget_ms", "pin_all", "spare_collections", "tune"]
