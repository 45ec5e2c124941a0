"""Sees to it that no handler holds up a process: one that is far over its limit ends it, to be started anew.

The main thread numbers the calls that it makes. A thread of the watchdog's looks now and then: a process that is
stopped or starved is not stuck, so what counts is how often it found the same call, not what time it is. Against a
call that never lets go of the interpreter there is a timer of the operating system, which counts time on the processor.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from nautilus.runtime.clock import NANOSECONDS, monotonic_ns

EXIT_STUCK = 86
"""Exit code of a process that ended itself because a handler did not end; by the last resort it dies of SIGPROF."""
TIMES_OVER = 10
"""A handler that takes so many times its limit is stuck."""
_LOOKS = 5
# The last resort comes later than the thread would, on two processors at once.
_LAST_RESORT = 4

_LOGGER = logging.getLogger("nautilus.runtime")


class Watchdog:
    """Watches the thread that makes it.

    Parameters
    ----------
    limit_ms
        What a handler may take.
    current
        Number of the call that runs, another one for each; 0: none does.
    describe
        Engine and handler of the call that runs, for people.
    began_ns
        When the call that runs began, by `monotonic_ns`; with it nothing that runs is looked for less often.
    end
        Ends the process.
    """

    def __init__(
        self,
        limit_ms: int,
        current: Callable[[], int],
        describe: Callable[[], str],
        began_ns: Callable[[], int] | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._limit_ms = limit_ms
        self._current = current
        self._describe = describe
        self._began_ns = began_ns
        self._end = end
        self._watched = threading.get_ident()
        self._last_resort = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self, *, last_resort: bool = True) -> None:
        """Begin to watch; `last_resort`: also with the timer of the operating system, of which a process has one."""
        self._last_resort = last_resort
        if last_resort:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            faulthandler.register(signal.SIGPROF, chain=True)
            self._arm()
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._last_resort:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(signal.SIGPROF)

    def _arm(self) -> None:
        if self._last_resort:
            signal.setitimer(signal.ITIMER_PROF, _LAST_RESORT * TIMES_OVER * self._limit_ms / 1000)

    def _watch(self) -> None:
        seen = looks = 0
        pause = step = self._limit_ms / 1000 / _LOOKS
        while not self._closing.wait(pause):
            call = self._current()
            if not call:
                seen = looks = 0
            elif call != seen:
                seen, looks = call, self._missed_looks(pause, step)
            else:
                looks += 1
                if looks == TIMES_OVER * _LOOKS:
                    self._stuck()
            if not looks % _LOOKS:
                self._arm()
            # A process in which nothing happens is not to be woken for that; its next call is looked at all the same.
            pause = step if call or self._began_ns is None else _LOOKS * step

    def _missed_looks(self, pause: float, step: float) -> int:
        """How often a call would have been found before, had the pause been no longer than a step."""
        if pause == step or self._began_ns is None:
            return 0
        ran = (monotonic_ns() - self._began_ns()) / NANOSECONDS
        return int(min(max(ran, 0), pause - step) / step)

    def _stuck(self) -> None:
        frame = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)[-8:]) if frame is not None else ""
        took_ms = TIMES_OVER * self._limit_ms
        _LOGGER.critical("%s is stuck after %d ms: the process ends\n%s", self._describe(), took_ms, stack)
        for handler in logging.getLogger().handlers:
            handler.flush()
        self._end(EXIT_STUCK)
