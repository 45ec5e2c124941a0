"""What a core is started with: its settings, and the commands that set it up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from nautilus.core.account_view import AccountState
from nautilus.core.kernel import Kernel, KernelError
from nautilus.core.types import COMMAND, InstrumentFlag
from nautilus.core.venue_view import venue_of
from nautilus.model.enums import CommandKind
from nautilus.model.errors import ConfigError
from nautilus.model.records import Records


class Settings(NamedTuple):
    """What the core is made with; the section ``core`` of the configuration has the same names."""

    acknowledge: str
    spin_us: int
    ring_capacity: int
    open_orders: int
    segment_mib: int
    pin: str = "none"
    realtime_priority: int = 0
    lock_memory: bool = False
    huge_pages: bool = False
    numa_local: bool = False
    cpu_dma_latency_us: int = -1
    slice_us: int = 0
    ready_orders: int = 0
    without_standby: str = "refuse"


class Setup(NamedTuple):
    """A command that opens an instrument or an account, or sets a limit. `key`: its id; 0 for a limit."""

    kind: CommandKind
    key: int
    row: bytes


def unknown_only(kernel: Kernel, setup: Iterable[Setup]) -> Records:
    """What a recovered kernel does not have yet, or has otherwise; limits always, as they may have changed.

    How an instrument is made stays for the life of its id. An account that is to be otherwise is opened so again, which
    the kernel refuses while there is something in it.

    Raises
    ------
    ConfigError
        An instrument trades at another venue than before: what the journal says of it would be of another one.
    """
    rows = []
    for each in setup:
        try:
            if each.kind == CommandKind.INSTRUMENT:
                kernel.best(each.key)
                _check_venue(kernel, each)
            elif each.kind == CommandKind.ACCOUNT:
                if not _same_account(kernel.account(each.key), np.frombuffer(each.row, COMMAND)[0]):
                    rows.append(each.row)
            else:
                rows.append(each.row)
        except KernelError:
            rows.append(each.row)
    return np.frombuffer(bytearray(b"".join(rows)), COMMAND) if rows else np.empty(0, COMMAND)


def _same_account(known: AccountState, row: np.void) -> bool:
    wanted = (int(row["flags"]), int(row["order_type"]) or 1, int(row["group_id"]))
    return (known.flags, known.self_match or 1, known.self_match_group) == wanted


def _check_venue(kernel: Kernel, setup: Setup) -> None:
    given = int(np.frombuffer(setup.row, COMMAND)["venue_reference"][0])
    known = venue_of(kernel, setup.key)
    if given != known and not np.frombuffer(setup.row, COMMAND)["flags"][0] & InstrumentFlag.BAND:
        raise ConfigError(
            f"instrument {setup.key} trades at venue {given}",
            where="core",
            expected=f"venue {known}, as in the journal; an instrument of another venue has a number of its own",
        )
