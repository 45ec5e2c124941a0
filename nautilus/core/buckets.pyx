"""The record of buckets.pxd as a numpy dtype, and its enumerations as Python enums."""

from enum import IntEnum, IntFlag

import numpy as np


class Classification(IntEnum):
    """What says how much of a volume was bought."""

    SIDE = CLASSIFY_SIDE
    NORMAL = CLASSIFY_NORMAL
    STUDENT = CLASSIFY_STUDENT


class BucketFlag(IntFlag):
    """Of a bucket, beside the flags of its trades."""

    FULL = BUCKET_FULL
    FLOW = BUCKET_FLOW


BUCKET = np.dtype([
    ("now_ns", "<i8"),
    ("begin_ns", "<i8"),
    ("number", "<i8"),
    ("volume", "<i8"),
    ("buy_volume", "<i8"),
    ("told_volume", "<i8"),
    ("close_ticks", "<i8"),
    ("flow", "<i8"),
    ("gross_flow", "<i8"),
    ("depth_sum", "<i8"),
    ("vpin", "<f8"),
    ("value", "<f8"),
    ("percentile", "<f8"),
    ("pace", "<f8"),
    ("parts", "<u4"),
    ("depths", "<u4"),
    ("instrument_id", "<u4"),
    ("flags", "<u2"),
    ("ties", "<u2"),
], align=True)


def layout():
    """{record: (size, {field: offset})} as the C compiler sees it; compared with the dtype by a test."""
    fields = {
        "now_ns": <size_t>&(<bucket_t*>NULL).now_ns,
        "begin_ns": <size_t>&(<bucket_t*>NULL).begin_ns,
        "number": <size_t>&(<bucket_t*>NULL).number,
        "volume": <size_t>&(<bucket_t*>NULL).volume,
        "buy_volume": <size_t>&(<bucket_t*>NULL).buy_volume,
        "told_volume": <size_t>&(<bucket_t*>NULL).told_volume,
        "close_ticks": <size_t>&(<bucket_t*>NULL).close_ticks,
        "flow": <size_t>&(<bucket_t*>NULL).flow,
        "gross_flow": <size_t>&(<bucket_t*>NULL).gross_flow,
        "depth_sum": <size_t>&(<bucket_t*>NULL).depth_sum,
        "vpin": <size_t>&(<bucket_t*>NULL).vpin,
        "value": <size_t>&(<bucket_t*>NULL).value,
        "percentile": <size_t>&(<bucket_t*>NULL).percentile,
        "pace": <size_t>&(<bucket_t*>NULL).pace,
        "parts": <size_t>&(<bucket_t*>NULL).parts,
        "depths": <size_t>&(<bucket_t*>NULL).depths,
        "instrument_id": <size_t>&(<bucket_t*>NULL).instrument_id,
        "flags": <size_t>&(<bucket_t*>NULL).flags,
        "ties": <size_t>&(<bucket_t*>NULL).ties,
    }
    return {"BUCKET": (sizeof(bucket_t), fields)}
