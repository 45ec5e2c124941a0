from typing import NamedTuple

import numpy as np

OPEN_ORDER: np.dtype[np.void]

class QueuePosition(NamedTuple):
    side: int
    standing: int
    price_ticks: int
    leaves_quantity: int
    orders_ahead: int | None
    quantity_ahead: int | None
