import numpy as np
from numpy.typing import NDArray

class RecordedLevels:
    orders: int
    cancels: int
    reductions: int
    crossing_removals: int
    other_removals: int
    trades: int
    unmatched_trades: int
    unmatched_lots: int
    taken_lots: int
    out_of_bounds: int
    def __init__(
        self,
        instrument_id: int,
        book_account: int,
        tape_account: int,
        *,
        proportional: bool = False,
        capacity: int = 1 << 20,
        first_order_id: int = 1,
    ) -> None: ...
    def update(self, deltas: NDArray[np.void], now_ns: int) -> NDArray[np.void]: ...
    def trade(self, trades: NDArray[np.void], now_ns: int) -> NDArray[np.void]: ...
    def on_events(self, events: NDArray[np.void]) -> None: ...
    def level(self, side: int, price_ticks: int) -> tuple[int, int, int, tuple[tuple[int, int], ...]]: ...
    @property
    def refused(self) -> dict[int, int]: ...
    @property
    def open_levels(self) -> int: ...
    @property
    def open_orders(self) -> int: ...
