"""A descriptor that becomes readable again and again, so that what has to be done now and then needs no thread."""

from __future__ import annotations

import ctypes
import os

_MONOTONIC = 1
_SECOND_NS = 1_000_000_000
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
        self._asked: tuple[int, int] | None = None
        try:
            self.restart(every_ns, every_ns)
        except OSError:
            os.close(self._descriptor)
            raise

    def restart(self, first_ns: int, every_ns: int) -> None:
        """Be readable in so many nanoseconds, then every so many; what was not taken before is forgotten."""
        if (every_ns, first_ns) != self._asked:
            self._asked = every_ns, first_ns
            self._times = ctypes.byref(_Times(*divmod(every_ns, _SECOND_NS), *divmod(first_ns, _SECOND_NS)))
        if _libc.timerfd_settime(self._descriptor, 0, self._times, None):
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
