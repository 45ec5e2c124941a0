"""Where a host has jobs run: worker processes for answers that are waited for, one for all else.

What somebody waits for does not wait behind what nobody does. The one for all else may load more: it ends when it has
been without a job for a while, and gives that back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from nautilus.engines.base import Engine
from nautilus.runtime.clock import NANOSECONDS
from nautilus.runtime.jobs import Done, Jobs
from nautilus.runtime.worker import name_of, warm

IDLE_NS = 30 * NANOSECONDS
"""A worker process without a job for so long ends, but for those whose answers are waited for."""

_LOGGER = logging.getLogger("nautilus.runtime")


class Workplaces:
    """The worker processes of one host.

    Parameters
    ----------
    watch, forget
        As in `Jobs`.
    later
        Has a callback called after so many nanoseconds.
    workers
        Processes whose answers are waited for.
    refused
        See `Jobs`.

    Attributes
    ----------
    warming : what engines of this host compute with is being loaded.
    """

    def __init__(
        self,
        watch: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], None],
        later: Callable[[int, Callable[[], object]], object],
        workers: int = 1,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._answering = Jobs(watch, forget, later=later, most=workers, refused=refused)
        self._background = Jobs(watch, forget, partial(later, IDLE_NS), later=later, refused=refused)
        self.warming = False

    def run(self, job: Callable[..., Any], arguments: tuple[Any, ...], done: Done, background: bool) -> None:
        """See `Jobs.run`."""
        (self._background if background else self._answering).run(job, arguments, done)

    def warm(self, engines: Iterable[type[Engine]], loaded: Callable[[], object]) -> None:
        """Load and compile what no request is to wait for: here at once, and where answers are computed."""
        kinds = list(engines)
        for function in dict.fromkeys(function for kind in kinds for function in kind.warms_here):
            function()
        names = tuple(dict.fromkeys(name_of(function) for kind in kinds for function in kind.warms))
        if not names:
            return

        def done(result: Any) -> None:
            self.warming = False
            if isinstance(result, Exception):  # whoever asks for it will be told the same
                _LOGGER.error("jobs are not prepared: %s", result)
            loaded()

        self.warming = True
        self._answering.prepare(warm, (names,), done)

    def close(self) -> None:
        """End both."""
        self._answering.close()
        self._background.close()
