# Python face of the market. Part of market.pyx.

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer


cdef class Matcher:
    """One thread. A venue's matching for any number of instruments, a batch of messages at a call.

    Parameters
    ----------
    instruments, orders, pages : int
        Books, open orders at a time, pages of 512 price levels. Memory is committed as it is used.
    prefetch : bool
        Fetch ahead within a batch what later messages will touch, while 131,072 orders and more are open. It changes no
        report.

    Raises
    ------
    MemoryError
        The memory cannot be had, or a number is 0.
    """

    def __cinit__(
        self, *, uint32_t instruments=1, uint32_t orders=1 << 20, uint32_t pages=1 << 14, bint prefetch=True
    ):
        cdef market_options_t options
        memset(&options, 0, sizeof(options))
        options.instruments = instruments
        options.orders = orders
        options.pages = pages
        self._prefetch = prefetch
        if market_open(&self._market, &options) != 0:
            raise MemoryError(f"Matcher: {instruments} instruments, {orders} orders, {pages} pages")

    def __dealloc__(self):
        market_close(&self._market)

    def process(self, messages, out):
        """A MESSAGE array in order; the reports into `out`, a REPORT array. Both one-dimensional and contiguous.

        Returns
        -------
        tuple
            Messages that were done, reports that were written. It ends early, before a message, where `out` is full;
            reports of the last message that did not fit any more come first at the next call.

        Raises
        ------
        ValueError
            A length is no multiple of the record's, or `out` has no room for a single report.
        """
        cdef Py_buffer into, given
        cdef uint64_t done = 0, written = 0
        PyObject_GetBuffer(messages, &given, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(out, &into, PyBUF_WRITABLE)
            try:
                if given.len % sizeof(message_t) or into.len % sizeof(report_t) or into.len == 0:
                    raise ValueError(
                        f"Matcher.process: {given.len} bytes of messages, {into.len} of reports; expected multiples of "
                        f"{sizeof(message_t)} and {sizeof(report_t)}, and room for a report"
                    )
                with nogil:
                    matcher_process(
                        &self._market, <const message_t*>given.buf, given.len // sizeof(message_t),
                        <report_t*>into.buf, into.len // sizeof(report_t), self._prefetch, &done, &written
                    )
            finally:
                PyBuffer_Release(&into)
        finally:
            PyBuffer_Release(&given)
        return done, written

    def best(self, uint32_t instrument, int side):
        """Best price of a side (1 buy, 2 sell), None where it is empty."""
        self._check(instrument, side)
        cdef uint32_t level = market_best(&self._market, instrument, side)
        return rank_of(side, level_rank(&self._market.pages, level)) if level else None

    def depth(self, uint32_t instrument, int side, int64_t price):
        """Displayed quantity at a price."""
        self._check(instrument, side)
        return market_depth(&self._market, instrument, side, price)

    def levels(self, uint32_t instrument, int side, Py_ssize_t most=10):
        """The best levels as a list of (price, quantity), best first."""
        self._check(instrument, side)
        cdef uint32_t level = market_best(&self._market, instrument, side)
        found = []
        while level and len(found) < most:
            found.append((
                rank_of(side, level_rank(&self._market.pages, level)), self._market.pages.levels[level].quantity
            ))
            level = market_next(&self._market, instrument, side, level)
        return found

    def queue(self, uint32_t instrument, int side, int64_t price):
        """The orders at a price as a list of (id, open quantity), first in time first."""
        self._check(instrument, side)
        cdef uint32_t level = ladder_find(
            &self._market.pages, &self._market.books[instrument].ladders[side - 1], rank_of(side, price)
        )
        cdef uint32_t slot = self._market.pages.levels[level].head if level else 0
        found = []
        while slot:
            found.append((
                <uint64_t>self._market.highs[slot] << 32 | self._market.orders[slot].id, self._market.orders[slot].leaves
            ))
            slot = self._market.orders[slot].next
        return found

    def queue_position(self, uint64_t order_id):
        """Where an open order stands: a nautilus.core.QueuePosition, as of `Kernel.queue_position`.

        It takes as long as there are orders ahead.

        Raises
        ------
        KeyError
            No order of that id is open.
        """
        from nautilus.core.order_view import QueuePosition
        cdef uint32_t slot = names_find(&self._market, order_id)
        cdef int64_t orders, quantity
        cdef standing_t at
        if slot == 0:
            raise KeyError(f"Matcher.queue_position: order {order_id} is not open")
        market_standing(&self._market, slot, &at)
        market_ahead(&self._market, slot, &orders, &quantity)
        return QueuePosition(self._market.orders[slot].side, at.standing, at.price, at.leaves, orders, quantity)

    @property
    def open_orders(self):
        """Orders in the books now."""
        return self._market.order_pool.used

    cdef int _check(self, uint32_t instrument, int side) except -1:
        if instrument >= self._market.book_count or (side != SIDE_BUY and side != SIDE_SELL):
            raise ValueError(
                f"Matcher: instrument {instrument}, side {side}; expected below {self._market.book_count}, 1 or 2"
            )
        return 0


cdef void matcher_process(
    market_t* m, const message_t* messages, uint64_t count, report_t* out, uint64_t room, bint prefetch,
    uint64_t* done, uint64_t* written
) noexcept nogil:
    cdef uint64_t i = 0
    cdef uint64_t ahead = count if prefetch else 0
    cdef uint64_t before = 0
    # What the last call could not hand out goes first.
    while m.spilled and before < room:
        out[before] = m.own[m.spill_read]
        m.spill_read += 1
        m.spilled -= 1
        before += 1
    m.reports = out
    m.written = before
    m.limit = room
    m.outside = True
    while i < count and m.written < room and m.outside and m.spilled == 0:
        if i + AHEAD_NAME < ahead and m.order_pool.used >= FETCH_FROM:
            client_fetch(m, &messages[i])
        client_message(m, &messages[i])
        i += 1
    done[0] = i
    if m.outside:
        written[0] = m.written
    else:
        written[0] = room
        m.spilled = m.written
        m.spill_read = 0
        m.outside = False
    m.reports = m.own
    m.written = 0
    m.limit = m.report_capacity


def __getattr__(name):
    """MESSAGE and REPORT as numpy dtypes, made at first use: the shared object has the same code and no numpy."""
    if name not in ("MESSAGE", "REPORT"):
        raise AttributeError(f"module 'nautilus.core.market' has no attribute {name!r}")
    from numpy import dtype
    globals().update(
        MESSAGE=dtype([
            ("order_id", "<u8"), ("price", "<i8"), ("quantity", "<i8"), ("kind", "u1"), ("side", "u1"),
            ("order_type", "u1"), ("time_in_force", "u1"), ("flags", "<u2"), ("owner", "<u2"), ("instrument", "<u4"),
            ("tag", "<u4"),
        ]),
        REPORT=dtype([
            ("kind", "u1"), ("side", "u1"), ("reason", "u1"), ("flags", "u1"), ("order", "<u4"), ("counter", "<u4"),
            ("aux", "<u4"), ("price", "<i8"), ("quantity", "<i8"),
        ]),
    )
    return globals()[name]
