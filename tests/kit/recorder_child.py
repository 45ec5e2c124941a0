"""A recorder of a star as a process: `python -m tests.kit.recorder_child ENDPOINT RING CATALOG COUNTERS SYMBOL...`."""

from __future__ import annotations

import signal
import sys

from nautilus.core.counters import Counters
from nautilus.model.instrument import Instrument
from nautilus.runtime.clock import pause
from nautilus.runtime.recorder_process import open_recorder
from nautilus.store.catalog_settings import CatalogConfig


def instrument(number: int, symbol: str) -> Instrument:
    """One that can be told apart by its symbol."""
    return Instrument(
        instrument_id=number,
        symbol=symbol,
        venue="VENUE",
        base_currency="BTC",
        quote_currency="USD",
        tick_table=(("0", "0.01"),),
        lot_size="1",
        currency_decimals=2,
    )


def main(endpoint: str, ring: str, catalog: str, counters: str, *symbols: str) -> None:
    """Record until SIGTERM."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    with open_recorder(
        catalog,
        CatalogConfig(segment_seconds=0.3, sync_seconds=0.05),
        [endpoint],
        ring or None,
        [instrument(number, symbol) for number, symbol in enumerate(symbols, 1)],
        Counters(path=counters),
    ) as recorder:
        print("up", flush=True)
        while not stopped:
            if not recorder.turn():
                pause(0.005)
        recorder.finish()


if __name__ == "__main__":
    main(*sys.argv[1:])
