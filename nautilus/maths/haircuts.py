"""What collateral counts for: its value less haircuts of its class and of its currency.

Source: Basel Committee, CRE22 (comprehensive approach): ``C (1 - Hc - Hfx)``, supervisory haircuts for ten business
days and daily revaluation. A debt is never cut but, in another currency, raised: ``D (1 + Hfx)``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nautilus.maths.dated import Dated
from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]
CURRENCY_MISMATCH: Final = 0.08
BASEL: Final[Dated[dict[str, float]]] = (
    (
        20230101,
        {
            "cash": 0.0,
            "sovereign_1y": 0.005,
            "sovereign_5y": 0.02,
            "sovereign": 0.04,
            "gold": 0.20,
            "main_index_equity": 0.20,
            "equity": 0.30,
            "fund": 0.30,
        },
    ),
)
"""By class: those of CRE22.52 for the best rated issuers; a class that is not in the table counts for nothing."""


def counted(amounts: npt.ArrayLike, class_haircuts: npt.ArrayLike, currency_haircuts: npt.ArrayLike) -> Array:
    """What amounts in one currency count for, each with the haircut of its class and of its own currency.

    Raises
    ------
    Undefined
        ``not_finite``; ``out_of_range`` for a haircut that is not from 0 to 1.
    """
    given = [np.asarray(each, np.float64) for each in (amounts, class_haircuts, currency_haircuts)]
    try:
        amount, by_class, by_currency = np.broadcast_arrays(*given)
    except ValueError:
        raise Undefined("mismatch", f"shapes {[each.shape for each in given]}", "ones that fit") from None
    if not all(np.isfinite(each).all() for each in given):
        raise Undefined("not_finite", "an amount or haircut that is not finite", "finite numbers")
    for each in (by_class, by_currency):
        if (each < 0).any() or (each > 1).any():
            raise Undefined("out_of_range", "a haircut", "from 0 to 1")
    cut = amount * np.maximum(1.0 - by_class - by_currency, 0.0)
    return np.where(amount > 0, cut, amount * (1.0 + by_currency))


__all__ = ["BASEL", "CURRENCY_MISMATCH", "counted"]
