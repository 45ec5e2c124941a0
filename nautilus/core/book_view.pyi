import numpy as np

DEPTH: np.dtype[np.void]
BOOK_ORDER: np.dtype[np.void]
