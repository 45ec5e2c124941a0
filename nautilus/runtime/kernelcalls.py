"""What the operating system offers for processes and Python does not: prctl, and looks into /proc."""

from __future__ import annotations

import ctypes
import os
import signal

_SET_PDEATHSIG, _SET_NAME, _SET_CHILD_SUBREAPER = 1, 15, 36

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose parent ends."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def signal_at_parent_end(number: signal.Signals) -> None:
    """Ask for a signal when the parent ends. It may have ended already: look at `os.getppid` afterwards."""
    _prctl(_SET_PDEATHSIG, int(number))


def name_process(name: str) -> None:
    """What `ps` and `top` call this process; at most 15 characters count."""
    _prctl(_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def threads() -> list[str]:
    """Names of the threads of this process, native ones too."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm", encoding="utf-8", errors="replace") as file:
                found.append(file.read().strip())
        except FileNotFoundError:
            continue
    return found


def descriptors() -> dict[int, str]:
    """What each open file descriptor of this process leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def children() -> list[int]:
    """Pids of the children of this process, adopted and dead ones too."""
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
        except FileNotFoundError:
            continue
    return found


def _prctl(option: int, value: object) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
