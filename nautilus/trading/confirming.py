"""The core's line to its supervisor, and the wait for a standby before what it recovered is shown."""

from __future__ import annotations

import logging
import os
import select
import signal
from typing import Protocol

from nautilus.core.counters import Counters
from nautilus.model.errors import InternalError
from nautilus.trading.settings import Settings
from nautilus.trading.shipper import CORE_GAUGE

_LOG = logging.getLogger("nautilus.trading")
CONFIRM_SECONDS = 0.005


class Supervised(Protocol):
    """The line to whoever started this process."""

    @property
    def stop_requested(self) -> bool:
        """It is time to stop."""
        ...

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        ...

    def poll(self) -> list[str]:
        """Orders that came."""
        ...

    def ready(self, ports: dict[str, int], /) -> None:
        """The core takes orders."""
        ...


def wait_for_standby(settings: Settings, control: Supervised, replica: str, sequence: int) -> None:
    """Return when a standby has a command: what it gave was not shown before, and may be then.

    Raises
    ------
    StoppedError
        The process is to stop first.
    """
    if settings.without_standby == "degrade":
        return
    told = killed = False
    while _acknowledged(replica) < sequence:
        if not told:
            _LOG.warning(
                "recovery: no standby has command %d yet, whose events were not shown: waiting for one", sequence
            )
            told = True
        if select.select([control.fileno()], [], [], CONFIRM_SECONDS)[0]:
            killed = "kill" in control.poll() or killed
        if control.stop_requested:
            raise StoppedError("told to stop while no standby has the journal", expected="one that attaches")
    if killed:
        os.kill(os.getpid(), signal.SIGUSR2)  # it is taken once the core runs


def _acknowledged(replica: str) -> int:
    try:
        return Counters.read(replica).get(CORE_GAUGE, 0)
    except (OSError, ValueError):
        return 0


class StoppedError(InternalError):
    """The core was told to stop before it had begun."""

    code = "internal.stopped"
