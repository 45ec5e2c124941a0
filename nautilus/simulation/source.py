"""What a host asks of a market: one protocol for recordings and for the simulated market.

A source sits at the venue, beside the core. The lock-step host runs it like this, in virtual time::

    core = Kernel(instruments, ...); source.attach(core); core.process(source.setup())
    while (t := source.next_ns()) is not None:      # before own orders that arrive at the same time
        step = source.step()                        # step.now_ns == t
        if step.commands is not None:
            source.on_events(core.process(step.commands))
        hub publishes step.records, or derives records from the events and the core's depth

Every EVENT array that the core gives reaches `on_events`, in the core's order, also the events of other
participants' orders: this is how a recorded level learns that a strategy took from it. Event arrays are only
valid during the call.

The live platform does the same in platform time, with two additions. `begin` says when it is, in a core that may
remember an earlier run. And as each turn of the core takes time there, the commands of several steps that are due go
to it together, in their order, wherever the source does not need the events in between (`waits`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from nautilus.model.instrument import Instrument

    Records = NDArray[np.void]


class Step(NamedTuple):
    """One step of a market: what it does to the core, and what its venue says about it.

    Attributes
    ----------
    now_ns : virtual time of the step; never before that of the step before. Commands carry the same time.
    commands : COMMAND array for the core, or None where the core is not touched (a recorded quote).
    records : QUOTE, TRADE and BOOK_DELTA arrays for the hub, in order; empty for a simulated market, whose
        records the hub derives from the core.
    """

    now_ns: int
    commands: Records | None
    records: tuple[Records, ...]


class CoreView(Protocol):
    """What a source may read of the core: `nautilus.core.Kernel` has it."""

    def depth(self, instrument_id: int, levels: int) -> tuple[Records, Records]:
        """Bids and asks, best first, each with `price_ticks`, `quantity` and `orders`."""
        ...


class MarketSource(Protocol):
    """A market that plays into the core in virtual time: a recording or a simulation.

    Attributes
    ----------
    check : those of QUOTE or TRADE records that may act and be published; None: all. Set by the host after `attach`;
        a simulated market asks nobody.
    """

    check: Callable[[Records], Records] | None

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the instruments that trade here; the host opens them in the core."""
        ...

    def attach(self, core: CoreView) -> None:
        """Hand in the core, once, before the first step."""
        ...

    def setup(self) -> Records:
        """COMMAND array that opens the source's accounts, for the core before the first step."""
        ...

    def begin(self, now_ns: int) -> Records:
        """Begin in the live platform, before the first step: commands that clear away what an earlier run left."""
        ...

    @property
    def waits(self) -> bool:
        """Whether all events so far must be known before it is asked on; to be asked before `next_ns` and `step`."""
        ...

    def next_ns(self) -> int | None:
        """Virtual time of the next step; None when there is nothing more."""
        ...

    def step(self) -> Step:
        """Take the next step. Only after `next_ns()` gave a time."""
        ...

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core, right after the core gave it."""
        ...

    def summary(self) -> dict[str, Any]:
        """Say what was played so far: `records` by kind, `book_checks`, `gaps`, `lost`, `rejected`, counters."""
        ...

    @property
    def progress(self) -> float | None:
        """Part of the whole that was played, 0 to 1; None where there is no end."""
        ...
