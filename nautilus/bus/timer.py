"""A descriptor that becomes readable again and again, so that what has to be done now and then needs no thread."""

from __future__ import annotations

import ctypes
import os

_MONOTONIC = 1
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _Times(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Timer:
    """Readable every so many nanoseconds until it is `taken`."""

    def __init__(self, every_ns: int) -> None:
        self._descriptor: int = _libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        seconds, rest_ns = divmod(every_ns, 1_000_000_000)
        times = _Times(seconds, rest_ns, seconds, rest_ns)
        if _libc.timerfd_settime(self._descriptor, 0, ctypes.byref(times), None):
            os.close(self._descriptor)
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def taken(self) -> bool:
        """Whether it was time; it is readable again when it is next."""
        try:
            return bool(os.read(self._descriptor, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give its descriptor back."""
        os.close(self._descriptor)
