"""Timers of orders and instruments: the heap."""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t

from nautilus.core.state cimport TIMER_INDICATIVE, TIMER_INSTRUMENT, kernel_t, order_at, timer_t


cdef inline bint earlier(const timer_t* a, const timer_t* b) noexcept nogil:
    return a.due_ns < b.due_ns or (a.due_ns == b.due_ns and a.arming < b.arming)


cdef inline uint32_t* place_of(kernel_t* k, uint32_t owner) noexcept nogil:
    """Where the owner keeps its timer's place in the heap."""
    if owner & TIMER_INSTRUMENT:
        return &k.instruments[owner & (TIMER_INDICATIVE - 1)].timers[owner & TIMER_INDICATIVE != 0]
    return &order_at(k, owner).timer


cdef inline void place(kernel_t* k, uint32_t at, timer_t timer) noexcept nogil:
    k.timers[at] = timer
    place_of(k, timer.order)[0] = at + 1


cdef void sift_up(kernel_t* k, uint32_t at, timer_t timer) noexcept nogil:
    cdef uint32_t parent
    while at:
        parent = (at - 1) >> 1
        if not earlier(&timer, &k.timers[parent]):
            break
        place(k, at, k.timers[parent])
        at = parent
    place(k, at, timer)


cdef void sift_down(kernel_t* k, uint32_t at, timer_t timer) noexcept nogil:
    cdef uint32_t child = 2 * at + 1
    while child < k.timer_count:
        if child + 1 < k.timer_count and earlier(&k.timers[child + 1], &k.timers[child]):
            child += 1
        if not earlier(&k.timers[child], &timer):
            break
        place(k, at, k.timers[child])
        at = child
        child = 2 * at + 1
    place(k, at, timer)


cdef void timer_arm(kernel_t* k, uint32_t owner, int64_t due_ns, int64_t arming) noexcept nogil:
    """Arms a timer that is not armed. There is room: one timer an order, two an instrument."""
    cdef timer_t timer
    timer.due_ns = due_ns
    timer.arming = arming
    timer.order = owner
    k.timer_count += 1
    sift_up(k, k.timer_count - 1, timer)


cdef void timer_disarm(kernel_t* k, uint32_t owner) noexcept nogil:
    """Takes a timer out; nothing happens where it is not armed."""
    cdef uint32_t at = place_of(k, owner)[0]
    cdef timer_t moved
    if at == 0:
        return
    at -= 1
    place_of(k, owner)[0] = 0
    k.timer_count -= 1
    if at == k.timer_count:
        return
    moved = k.timers[k.timer_count]
    if at and earlier(&moved, &k.timers[(at - 1) >> 1]):
        sift_up(k, at, moved)
    else:
        sift_down(k, at, moved)


cdef void instrument_arm(kernel_t* k, uint32_t owner, int64_t now_ns, int64_t after_ns) noexcept nogil:
    if place_of(k, owner)[0]:
        return
    k.arming += 1
    timer_arm(k, owner, INT64_MAX if now_ns > INT64_MAX - after_ns else now_ns + after_ns, k.arming)
