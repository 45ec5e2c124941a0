import numpy as np
import numpy.typing as npt

LINEAR: int
CALL: int
PUT: int

def scan(
    kind: npt.NDArray[np.int8],
    spot: npt.NDArray[np.float64],
    strike: npt.NDArray[np.float64],
    years: npt.NDArray[np.float64],
    rate: npt.NDArray[np.float64],
    yield_rate: npt.NDArray[np.float64],
    sigma: npt.NDArray[np.float64],
    early: npt.NDArray[np.int8],
    up: npt.NDArray[np.float64],
    down: npt.NDArray[np.float64],
    vol_range: npt.NDArray[np.float64],
    price_moves: npt.NDArray[np.float64],
    vol_moves: npt.NDArray[np.float64],
    out: npt.NDArray[np.float64],
) -> None: ...
