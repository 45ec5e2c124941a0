"""Timers of orders: the heap."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t, order_at, timer_t


cdef inline bint earlier(const timer_t* a, const timer_t* b) noexcept nogil:
    return a.due_ns < b.due_ns or (a.due_ns == b.due_ns and a.arming < b.arming)


cdef inline void place(kernel_t* k, uint32_t at, timer_t timer) noexcept nogil:
    k.timers[at] = timer
    order_at(k, timer.order).timer = at + 1


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


cdef void timer_arm(kernel_t* k, uint32_t order, int64_t due_ns, int64_t arming) noexcept nogil:
    """Arms the timer of an order that has none. There is room: one timer an order."""
    cdef timer_t timer
    timer.due_ns = due_ns
    timer.arming = arming
    timer.order = order
    k.timer_count += 1
    sift_up(k, k.timer_count - 1, timer)


cdef void timer_disarm(kernel_t* k, uint32_t order) noexcept nogil:
    """Takes the timer of an order out; nothing happens where it has none."""
    cdef uint32_t at = order_at(k, order).timer
    cdef timer_t moved
    if at == 0:
        return
    at -= 1
    order_at(k, order).timer = 0
    k.timer_count -= 1
    if at == k.timer_count:
        return
    moved = k.timers[k.timer_count]
    if at and earlier(&moved, &k.timers[(at - 1) >> 1]):
        sift_up(k, at, moved)
    else:
        sift_down(k, at, moved)
