"""Any thread. Whether what was kept of an instrument's volume buckets can be true: bounds, and sums that have to agree."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.buckets cimport bucket_t, imbalance_of
from nautilus.core.types cimport MAX_PRICE_BITS, MAX_QUANTITY_BITS
from nautilus.core.vpin cimport VPIN_DAYS, VPIN_MOST_FLOW_BITS, measured_t


cdef inline bint within(int64_t value, int64_t least, int64_t most) noexcept nogil:
    return least <= value <= most


cdef inline bint share_is_sound(double value) noexcept nogil:
    return 0.0 <= value <= 1.0


cdef inline bint bucket_is_sound(const bucket_t* bucket, uint32_t instrument_id, int64_t last_ns) noexcept nogil:
    """One that is being filled, one that is full, or one of nothing but zeros; no trade came after `last_ns`."""
    cdef int64_t lots = <int64_t>1 << MAX_QUANTITY_BITS, ticks = <int64_t>1 << MAX_PRICE_BITS
    cdef int64_t most = <int64_t>1 << 62, flow = <int64_t>2 << VPIN_MOST_FLOW_BITS
    return (
        within(bucket.volume, 0, lots)
        and within(bucket.buy_volume, 0, bucket.volume)
        and within(bucket.told_volume, 0, bucket.volume)
        and (bucket.parts == 0) == (bucket.volume == 0)
        and within(bucket.number, 0, most)
        and within(bucket.now_ns, 0, most)
        and within(bucket.begin_ns, 0, last_ns)
        and within(bucket.close_ticks, -ticks, ticks)
        and within(bucket.gross_flow, 0, flow)
        and within(bucket.flow, -bucket.gross_flow, bucket.gross_flow)
        and within(bucket.depth_sum, 0, most + 2 * lots)
        and bucket.depths <= bucket.parts
        and (bucket.depth_sum == 0 or bucket.depths > 0)
        and share_is_sound(bucket.vpin)
        and share_is_sound(bucket.value)
        and share_is_sound(bucket.percentile)
        and share_is_sound(bucket.pace)
        and (bucket.instrument_id == instrument_id or (bucket.volume == 0 and bucket.instrument_id == 0))
    )


cdef inline bint numbers_are_sound(const measured_t* at, uint32_t days, int64_t bar_ns) noexcept nogil:
    """What there is of an instrument beside its window and its values."""
    cdef int64_t lots = <int64_t>1 << MAX_QUANTITY_BITS, ticks = <int64_t>1 << MAX_PRICE_BITS
    cdef int64_t most = <int64_t>1 << 62, earlier = 0, waiting = at.bar_volume if at.barred else 0
    cdef uint32_t i
    if at.day_count > days or (at.day_at >= days and at.day_at != 0):
        return False
    for i in range(VPIN_DAYS):
        # None is below zero and their sum is no more than all: it cannot wrap around.
        if not within(at.days[i], 0, most - earlier if i < at.day_count else 0):
            return False
        earlier += at.days[i]
    return (
        within(at.last_ns, 0, most)
        and within(at.last_ticks, -ticks, ticks)
        and within(at.size, 1, lots)
        and within(at.next_size, 1, lots)
        and within(at.left, 1, at.size)
        and at.open.volume == at.size - at.left
        and within(at.volume, 0, most)
        and within(earlier, 0, at.volume)
        and within(at.day_volume, 0, at.volume - earlier)
        and within(at.taken, 0, at.volume)
        and (at.sign == 1 or at.sign == -1)
        and 0 <= at.traded <= 1
        and 0 <= at.barred <= 1
        and 0 <= at.closed <= 1
        and 0 <= at.varied <= 1
        and within(at.bar_volume, 0, at.volume)
        and within(at.bar_begin_ns, 0, most)
        and within(at.bar_first_ns, 0, at.last_ns)
        and (bar_ns == 0 or at.traded == 0 or at.bar_begin_ns == at.last_ns - at.last_ns % bar_ns)
        and within(at.bar_close, -ticks, ticks)
        and within(at.previous_close, -ticks, ticks)
        and 0.0 <= at.variance <= 4.0 * <double>ticks * <double>ticks
        and 0 <= at.touch.quoted <= 1
        and 0 <= at.touch.known <= 1
        and within(at.touch.bid_lots, 0, lots)
        and within(at.touch.ask_lots, 0, lots)
        and within(at.late, 0, most)
        and within(at.duplicates, 0, most)
        and within(at.without_volume, 0, most)
        and within(at.refused, 0, most)
        # A completed bucket had a lot or more.
        and within(at.open.number, 1, at.volume - waiting - at.open.volume + 1)
        and bucket_is_sound(&at.open, at.open.instrument_id, at.last_ns)
    )


cdef inline bint places_are_sound(const measured_t* at, uint32_t window, uint32_t history) noexcept nogil:
    """Where the next bucket and the next value go."""
    return (
        at.window_at < window
        and at.kept <= history
        and at.value_at < history
        and (at.kept == history or at.value_at == at.kept)
    )


cdef inline bint window_is_sound(const measured_t* at, const bucket_t* window, int count) noexcept nogil:
    """Its buckets, and that they add up to what is kept of them."""
    cdef int64_t imbalance = 0, volume = 0
    cdef int i
    for i in range(count):
        if not bucket_is_sound(&window[i], at.open.instrument_id, at.last_ns):
            return False
        imbalance += imbalance_of(&window[i])
        volume += window[i].volume
    return imbalance == at.imbalance and volume == at.window_volume


cdef inline bint values_are_sound(const double* values, const int64_t* spans, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        if not (share_is_sound(values[i]) and within(spans[i], 0, <int64_t>1 << 62)):
            return False
    return True


cdef inline bint state_is_sound(
    const measured_t* at, const char* more, Py_ssize_t length, uint32_t window, uint32_t history, uint32_t days,
    int64_t bar_ns
) noexcept nogil:
    """All that was kept; `more`: its window (or none), its values, and how long their windows took."""
    cdef Py_ssize_t ring = window * sizeof(bucket_t), size
    if not numbers_are_sound(at, days, bar_ns) or not places_are_sound(at, window, history):
        return False
    size = at.kept * sizeof(double)
    if length == 0 and size == 0:
        ring = 0
    return (
        length == ring + 2 * size
        and window_is_sound(at, <const bucket_t*>more, window if ring else 0)
        and values_are_sound(<const double*>(more + ring), <const int64_t*>(more + ring + size), at.kept)
    )
