"""A thread for calls that take long, beside a host that waits for nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress


class Caller:
    """The thread, which begins with the first `wake`, and a descriptor by which it tells the host of what came.

    Parameters
    ----------
    name
        Of the thread.
    run
        What it does until it is `closing`.

    Attributes
    ----------
    work : notified by `wake` and `close`; what `run` waits on.
    called : `wake` was called; `run` takes it back.
    closing : the thread is to end.
    """

    def __init__(self, name: str, run: Callable[[], object]) -> None:
        self.work = threading.Condition()
        self.called = self.closing = False
        self._name = name
        self._run = run
        self._thread: threading.Thread | None = None
        self._more = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wake(self) -> None:
        """Have the thread look at what there is to do."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        with self.work:
            self.called = True
            self.work.notify()

    def fileno(self) -> int:
        """Readable after `tell`, until `told`."""
        return self._more

    def tell(self) -> None:
        """Something is there for the host."""
        with suppress(BlockingIOError):
            os.eventfd_write(self._more, 1)

    def told(self) -> None:
        """The host looks."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._more)

    def close(self) -> None:
        """End the thread, and wait until it has."""
        with self.work:
            self.closing = True
            self.work.notify()
        if self._thread is not None:
            self._thread.join()
        os.close(self._more)
