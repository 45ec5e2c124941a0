"""Python face of the record of a completed volume bucket; buckets.pxd has the fields."""

from enum import IntEnum, IntFlag

import numpy as np

BUCKET: np.dtype[np.void]
"""A completed bucket, 128 bytes; buckets.pxd says what its fields are."""

class Classification(IntEnum):
    """What says how much of a volume was bought."""

    SIDE = 1
    NORMAL = 2
    STUDENT = 3

class BucketFlag(IntFlag):
    """Of a bucket, beside the flags of its trades."""

    FULL = 256
    FLOW = 512

def layout() -> dict[str, tuple[int, dict[str, int]]]:
    """{record: (size, {field: offset})} as the C compiler sees it; compared with the dtype by a test."""
