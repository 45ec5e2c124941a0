"""The record of a completed volume bucket: BUCKET, 128 bytes, little-endian, without padding."""

from libc.stdint cimport int64_t, uint16_t, uint32_t

cdef enum:
    CLASSIFY_SIDE = 1
    CLASSIFY_NORMAL = 2
    CLASSIFY_STUDENT = 3

# Bits of bucket_t.flags, beside those of its trades.
cdef enum:
    BUCKET_FULL = 256           # the window is full: vpin and what follows from it are known
    BUCKET_FLOW = 512           # value has the quotes' flow in it

ctypedef struct bucket_t:
    int64_t now_ns              # stamp of the record that completed it
    int64_t begin_ns            # stamp of the first trade in it (bulk: of the first bar)
    int64_t number              # of this instrument, from 1
    int64_t volume              # lots
    int64_t buy_volume          # lots
    int64_t told_volume         # lots whose aggressor's side came with the trade; bulk: 0
    int64_t close_ticks
    int64_t flow                # order-flow imbalance of the quotes meanwhile, lots
    int64_t gross_flow          # the same without signs
    int64_t depth_sum           # lots at the touch, both sides, summed over its parts
    double vpin
    double value                # vpin, weighted and blended
    double percentile           # share of the last values that are at most this one
    double pace                 # share of the last windows that took longer than this one, which is counted too
    uint32_t parts              # trades (bulk: bars) that are in it
    uint32_t depths             # parts at which the touch was known
    uint32_t instrument_id
    uint16_t flags
    uint16_t ties               # other ones of the last values that are equal to this one, at most 65535


cdef inline int64_t imbalance_of(const bucket_t* bucket) noexcept nogil:
    """Lots, without a sign."""
    cdef int64_t imbalance = 2 * bucket.buy_volume - bucket.volume
    return imbalance if imbalance >= 0 else -imbalance
