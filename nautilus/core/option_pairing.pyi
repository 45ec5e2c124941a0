import numpy as np
import numpy.typing as npt

NAKED: int
SPREAD: int
COVERED: int
STRADDLE: int
IRON: int
PROTECTED: int
MAX_LOSS: int

class Rows:
    table: npt.NDArray[np.float64]

def pair_options(
    quantity: npt.NDArray[np.float64],
    strike: npt.NDArray[np.float64],
    expiry: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    naked: npt.NDArray[np.float64],
    is_call: npt.NDArray[np.int8],
    starts: npt.NDArray[np.int64],
    spot: npt.NDArray[np.float64],
    lots: npt.NDArray[np.float64],
    multiplier: npt.NDArray[np.float64],
    long_rate: npt.NDArray[np.float64],
    short_rate: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
