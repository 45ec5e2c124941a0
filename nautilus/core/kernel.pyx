"""The trading kernel: orders, the sequence of steps, and the Python face."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from nautilus.core.book cimport LADDER_EMPTY, ladder_find, ladder_next, ladder_room, ladder_t
from nautilus.core.control cimport control, reject
from nautilus.core.hashing cimport xxh64_stripes, xxh64_value
from nautilus.core.hashmap cimport map_find, map_home, map_prefetch, map_put, map_slot, prefetch_line
from nautilus.core.journal cimport Journal, journal_flush, journal_put, journal_put_hash, journal_room
from nautilus.core.matching cimport (
    INCOMING_BOUNDED,
    INCOMING_MARKET,
    cancelled_event,
    event_begin,
    event_done,
    fills_at_once,
    match_incoming,
    match_tape,
    order_closed,
    order_release,
    order_remove,
    order_rest,
    order_unlink,
    rank_of,
    would_cross,
)
from nautilus.core.pool cimport pool_take
from nautilus.core.positions cimport money_int, position_t
from nautilus.core.pretrade cimport pretrade_check
from nautilus.core.snapshot cimport snapshot_hash, snapshot_read, snapshot_write
from nautilus.core.state cimport (
    ID_CLOSED,
    account_of,
    instrument_of,
    instrument_t,
    ladder_of,
    order_at,
    order_t,
    position_add,
    position_of,
    state_close,
    state_open,
)
from nautilus.core.timers cimport timer_arm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    COMMAND_TIME,
    COMMAND_VENUE_UNKNOWN,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_DUPLICATE,
    EVENT_EXPIRED,
    EVENT_REJECTED,
    EVENT_REPLACED,
    FLAG_POST_ONLY,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    REASON_CLOSED_ORDER,
    REASON_DUPLICATE_ORDER,
    REASON_EXPIRED,
    REASON_LATE,
    REASON_MALFORMED,
    REASON_ORDER_ID,
    REASON_POOL_FULL,
    REASON_REQUESTED,
    REASON_UNFILLED,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_WOULD_CROSS,
    SIDE_BUY,
    SIDE_SELL,
    TIF_AT_CLOSE,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TYPE_LIMIT,
    TYPE_MARKET,
    TYPE_PEGGED,
    event_t,
)
from nautilus.core.journal_reader import JournalReader, verify
from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import latest_snapshot, write_snapshot
from nautilus.core.types import COMMAND, EVENT

DEPTH = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8"), ("orders", "<i8")], align=True)
POSITION = np.dtype([
    ("instrument_id", "<u4"), ("quantity", "<i8"), ("open_buy", "<i8"), ("open_sell", "<i8"),
    ("cost", "O"), ("realised", "O"), ("unrealised", "O"),
])
cdef int64_t CHECKPOINT = 65536


class KernelError(ValueError):
    """The kernel cannot do what was asked of its Python face; `code` is stable."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


cdef inline void refuse(kernel_t* k, const command_t* c, uint32_t bits) noexcept nogil:
    """REJECTED with every violated control in flags and the smallest as its reason."""
    cdef event_t* e = event_begin(k, EVENT_REJECTED)
    cdef int reason = 0
    while not bits >> reason & 1:
        reason += 1
    e.order_id = c.order_id
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.side = c.side
    e.instrument_id = c.instrument_id
    e.account_id = c.account_id
    e.strategy_id = c.strategy_id
    e.reason = reason
    e.flags = bits
    event_done(k, e)


cdef inline void after_match(kernel_t* k, uint32_t index, order_t* order, bint open_end, bint rests) noexcept nogil:
    """Step 11 for an order whose record is `index` (0 while a NEW has none)."""
    cdef order_t* kept
    if open_end and order.leaves and rests:
        if index == 0:
            index = pool_take(&k.orders)
            kept = order_at(k, index)
            kept[0] = order[0]
            k.accounts[order.account].open_orders += 1
            map_put(&k.accounts[order.account].ids, order.order_id, index)
        order_rest(k, index)
        return
    if open_end and order.leaves:
        cancelled_event(k, order, order.leaves, EVENT_CANCELLED, REASON_UNFILLED)
    if index:
        order_release(k, index)
    else:
        order_closed(k, order.account, order.order_id)


cdef void new_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t instrument, account, position = 0, bits, index
    cdef uint32_t* known
    cdef bint market, bounded, rests, open_end
    cdef int64_t bound = 0
    cdef int mode = 0
    cdef order_t order
    cdef event_t* e
    if (
        c.side < SIDE_BUY or c.side > SIDE_SELL or c.order_type < TYPE_LIMIT or c.order_type > TYPE_PEGGED
        or c.time_in_force < TIF_GTC or c.time_in_force > TIF_AT_CLOSE
    ):
        reject(k, c, REASON_MALFORMED)
        return
    instrument = instrument_of(k, c.instrument_id)
    if instrument == 0:
        reject(k, c, REASON_UNKNOWN_INSTRUMENT)
        return
    account = account_of(k, c.account_id)
    if account == 0:
        reject(k, c, REASON_UNKNOWN_ACCOUNT)
        return
    if c.order_id == 0:
        reject(k, c, REASON_ORDER_ID)
        return
    known = map_find(&k.accounts[account].ids, c.order_id)
    if known != NULL:
        reject(k, c, REASON_DUPLICATE_ORDER)
        return
    if k.accounts[account].flags & ACCOUNT_EXEMPT:
        position = position_of(k, account, instrument)      # only for the kill switch of the pair
    else:
        position = position_add(k, account, instrument)
        if position == 0:
            reject(k, c, REASON_POOL_FULL)
            return
    market = c.order_type == TYPE_MARKET
    bits = pretrade_check(k, c, c.side, market, instrument, account, position, NULL, &bound, &bounded)
    if bits:
        refuse(k, c, bits)
        return
    if c.flags & FLAG_POST_ONLY and would_cross(k, instrument, c.side, c.price_ticks):
        reject(k, c, REASON_WOULD_CROSS)
        return
    rests = c.time_in_force <= TIF_GTD
    if rests and (
        k.orders.used == k.orders.capacity
        or not ladder_room(ladder_of(k, instrument, c.side), &k.pages, rank_of(c.side, c.price_ticks))
    ):
        reject(k, c, REASON_POOL_FULL)
        return

    order.next = 0
    order.prev = 0
    order.order_id = c.order_id
    order.price = c.price_ticks
    order.leaves = c.quantity
    order.filled = 0
    order.instrument = instrument
    order.account = account
    order.position = 0 if k.accounts[account].flags & ACCOUNT_EXEMPT else position
    order.timer = 0
    order.strategy_id = c.strategy_id
    order.flags = c.flags
    order.side = c.side
    order.time_in_force = c.time_in_force
    order.reserved = 0
    e = event_begin(k, EVENT_ACCEPTED)
    e.order_id = c.order_id
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.leaves_quantity = c.quantity
    e.side = c.side
    e.instrument_id = c.instrument_id
    e.account_id = c.account_id
    e.strategy_id = c.strategy_id
    event_done(k, e)

    if market:
        mode = INCOMING_MARKET | (INCOMING_BOUNDED if bounded else 0)
    if c.flags & FLAG_TAPE:
        match_tape(k, &order, c.flags & FLAG_TAPE_BOOKED)
        open_end = True
    elif c.time_in_force == TIF_FOK and not fills_at_once(k, &order, mode, bound):
        open_end = True
    else:
        open_end = match_incoming(k, &order, mode, bound)
    after_match(k, 0, &order, open_end, rests)
    if rests and open_end and order.leaves and c.time_in_force != TIF_GTC:
        index = map_find(&k.accounts[account].ids, c.order_id)[0]
        bound = c.expire_ns if c.time_in_force == TIF_GTD else k.instruments[instrument].close_ns
        if bound:
            k.arming += 1
            timer_arm(k, index, bound, k.arming)


cdef inline uint32_t open_order(kernel_t* k, const command_t* c, int* reason) noexcept nogil:
    """Record of the open order that the command names; 0 and the reason where there is none."""
    cdef uint32_t account = account_of(k, c.account_id)
    cdef uint32_t* found
    if account == 0:
        reason[0] = REASON_UNKNOWN_ACCOUNT
        return 0
    found = map_find(&k.accounts[account].ids, c.order_id)
    if found == NULL:
        reason[0] = REASON_UNKNOWN_ORDER
        return 0
    if found[0] == ID_CLOSED:
        reason[0] = REASON_CLOSED_ORDER
        return 0
    return found[0]


cdef void replace_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = 0
    cdef uint32_t index = open_order(k, c, &reason)
    cdef uint32_t bits
    cdef order_t* order
    cdef command_t named
    cdef event_t* e
    cdef int64_t bound = 0, leaves
    cdef bint bounded
    if index == 0:
        reject(k, c, reason)
        return
    order = order_at(k, index)
    named = c[0]
    named.side = order.side
    named.instrument_id = k.instruments[order.instrument].id
    named.strategy_id = order.strategy_id
    bits = pretrade_check(
        k, c, order.side, False, order.instrument, order.account,
        order.position if order.position else position_of(k, order.account, order.instrument), order, &bound, &bounded
    )
    if bits:
        refuse(k, &named, bits)
        return
    if order.flags & FLAG_POST_ONLY and would_cross(k, order.instrument, order.side, c.price_ticks):
        reject(k, &named, REASON_WOULD_CROSS)
        return
    if not ladder_room(ladder_of(k, order.instrument, order.side), &k.pages, rank_of(order.side, c.price_ticks)):
        reject(k, &named, REASON_POOL_FULL)
        return
    leaves = c.quantity - order.filled
    e = event_begin(k, EVENT_REPLACED)
    e.order_id = order.order_id
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.leaves_quantity = leaves
    e.side = order.side
    e.instrument_id = named.instrument_id
    e.account_id = c.account_id
    e.strategy_id = order.strategy_id
    event_done(k, e)
    if c.price_ticks == order.price and leaves <= order.leaves:
        shrink(k, order, leaves)
        return
    order_unlink(k, index)
    order.price = c.price_ticks
    order.leaves = leaves
    after_match(k, index, order, match_incoming(k, order, 0, 0), True)


cdef inline void shrink(kernel_t* k, order_t* order, int64_t leaves) noexcept nogil:
    """Takes quantity off a resting order, in its place."""
    cdef int64_t less = order.leaves - leaves
    ladder_find(ladder_of(k, order.instrument, order.side), rank_of(order.side, order.price)).quantity -= less
    if order.position:
        if order.side == SIDE_BUY:
            k.positions[order.position].open_buy -= less
        else:
            k.positions[order.position].open_sell -= less
    order.leaves = leaves


cdef inline void cancel_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = 0
    cdef uint32_t index = open_order(k, c, &reason)
    if index:
        order_remove(k, index, EVENT_CANCELLED, REASON_REQUESTED)
    else:
        reject(k, c, reason)


cdef inline void fire_timers(kernel_t* k) noexcept nogil:
    while k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.cause_now_ns = k.timers[0].due_ns
        order_remove(k, k.timers[0].order, EVENT_EXPIRED, REASON_EXPIRED)


cdef inline void dispatch(kernel_t* k, const command_t* c) noexcept nogil:
    cdef event_t* e
    if c.source_id and c.source_sequence:
        if c.source_sequence <= k.sources[c.source_id]:
            e = event_begin(k, EVENT_DUPLICATE)
            e.order_id = c.order_id
            e.price_ticks = c.price_ticks
            e.quantity = c.quantity
            e.side = c.side
            e.instrument_id = c.instrument_id
            e.account_id = c.account_id
            e.strategy_id = c.strategy_id
            event_done(k, e)
            return
        k.sources[c.source_id] = c.source_sequence
    if c.deadline_ns and c.deadline_ns < k.now_ns:
        reject(k, c, REASON_LATE)
    elif c.kind == COMMAND_NEW:
        new_order(k, c)
    elif c.kind == COMMAND_CANCEL:
        cancel_order(k, c)
    elif c.kind == COMMAND_REPLACE:
        replace_order(k, c)
    elif c.kind == 0 or c.kind > COMMAND_VENUE_UNKNOWN:
        reject(k, c, REASON_MALFORMED)
    elif c.kind != COMMAND_TIME:
        control(k, c)


cdef void kernel_step(kernel_t* k, const command_t* command, journal_t* journal) noexcept nogil:
    """One command: stamped, journalled, timers first, then carried out."""
    cdef command_t c = command[0]
    k.sequence += 1
    c.sequence = k.sequence
    if c.now_ns > k.now_ns:
        k.now_ns = c.now_ns
    else:
        c.now_ns = k.now_ns
    xxh64_stripes(&k.command_hash, &c, sizeof(command_t) // 8)
    if journal != NULL:
        journal_put(journal, &c)
    k.cause_sequence = k.sequence
    if k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.cause_source_id = 0
        k.cause_source_sequence = 0
        fire_timers(k)
    k.cause_now_ns = k.now_ns
    k.cause_source_id = c.source_id
    k.cause_source_sequence = c.source_sequence
    dispatch(k, &c)
    if journal != NULL and k.sequence % CHECKPOINT == 0:
        journal_put_hash(
            journal, k.sequence, k.event_sequence, xxh64_value(&k.event_hash, NULL, 0),
            xxh64_value(&k.command_hash, NULL, 0)
        )


cdef enum:
    LOOK_FAR = 32               # commands ahead whose id slot is fetched
    LOOK_NEAR = 16               # commands ahead whose order record is fetched


cdef inline void look_ahead(kernel_t* k, const command_t* commands, Py_ssize_t i, Py_ssize_t count) noexcept nogil:
    """Fetches what later commands of the batch will touch; it changes no result."""
    cdef const command_t* c
    cdef uint32_t account
    cdef uint32_t* found
    if i + LOOK_FAR < count:
        c = &commands[i + LOOK_FAR]
        if COMMAND_NEW <= c.kind <= COMMAND_REPLACE:
            account = account_of(k, c.account_id)
            if account:
                if c.kind == COMMAND_NEW:
                    # A store, not a fetch: a page that was never touched then faults once, not twice.
                    map_slot(&k.accounts[account].ids, map_home(&k.accounts[account].ids, c.order_id)).reserved = 0
                else:
                    map_prefetch(&k.accounts[account].ids, c.order_id)
    if i + LOOK_NEAR < count:
        c = &commands[i + LOOK_NEAR]
        if c.kind == COMMAND_CANCEL or c.kind == COMMAND_REPLACE:
            account = account_of(k, c.account_id)
            if account:
                found = map_find(&k.accounts[account].ids, c.order_id)
                if found != NULL and found[0] != ID_CLOSED:
                    prefetch_line(order_at(k, found[0]))


def as_commands(what):
    """COMMAND array of `what`: an array, an object with `to_commands()`, or a sequence of those."""
    if what is None:
        return np.empty(0, COMMAND)
    if isinstance(what, np.ndarray):
        return what
    if hasattr(what, "to_commands"):
        return what.to_commands()
    parts = [as_commands(part) for part in what]
    return np.concatenate(parts) if parts else np.empty(0, COMMAND)


cdef class Kernel:
    """One thread at a time. The trading core as a state machine: COMMAND array in, EVENT array out.

    instruments, limits: COMMAND arrays, objects with `to_commands()`, or sequences of them; accounts: ids to open, or
    ACCOUNT commands. They become the first commands. capacity: open orders at once; closed_capacity: closed order ids
    remembered for each account, a power of two. huge_pages: ask for them, which is
    faster but makes up to 64 MiB an active account resident at the default capacities. journal: None, a `Journal`, or the path of a new one (policy `memory`).
    Raises KernelError for arguments out of range, MemoryError, and JournalError or OSError from the journal.
    """

    def __init__(
        self, instruments=(), limits=None, capacity=1 << 20, journal=None, *, accounts=range(1, 17),
        closed_capacity=1 << 20, huge_pages=True,
    ):
        if not 0 < capacity < 1 << 31:
            raise KernelError("CAPACITY", f"capacity: expected 1 to 2^31 - 1 open orders, found {capacity}")
        if not 0 < closed_capacity <= 1 << 30 or closed_capacity & (closed_capacity - 1):
            raise KernelError(
                "CAPACITY", f"closed_capacity: expected a power of two up to 2^30, found {closed_capacity}"
            )
        state_close(&self.state)
        if state_open(&self.state, capacity, closed_capacity, huge_pages):
            state_close(&self.state)
            raise MemoryError(f"kernel: no memory for {capacity} orders")
        if journal is not None:
            self.attach(journal)
        if not isinstance(accounts, np.ndarray):
            ids = list(accounts)
            accounts = np.zeros(len(ids), COMMAND)
            accounts["kind"] = 9  # ACCOUNT
            accounts["account_id"] = ids
        first = np.concatenate([as_commands(instruments), accounts, as_commands(limits)])
        events = self.process(first)
        refused = events[events["kind"] == EVENT_REJECTED]
        if refused.size:
            at = int(refused["command_sequence"][0]) - 1
            raise KernelError(
                "SETUP",
                f"kernel: set-up command {at + 1} of {len(first)} (kind {first['kind'][at]}, instrument "
                f"{first['instrument_id'][at]}, account {first['account_id'][at]}) was refused, reason "
                f"{refused['reason'][0]}",
            )

    def __dealloc__(self):
        state_close(&self.state)

    def attach(self, journal):
        """Journals every command from now on into `journal`: a Journal, or the path of one."""
        cdef Journal opened
        opened = journal if isinstance(journal, Journal) else Journal(
            journal, capacity=self.state.capacity, closed_capacity=self.state.closed_capacity
        )
        if opened.state.last_sequence != self.state.sequence:
            last = opened.state.last_sequence
            if opened is not journal:
                opened.close()
            raise KernelError(
                "JOURNAL",
                f"{opened.path}: expected a journal that ends at command {self.state.sequence}, found {last}; "
                "Kernel.open(path) goes on from an existing one",
            )
        self.journal = opened
        self.journal_state = &opened.state

    @classmethod
    def open(cls, path, *, policy="memory"):
        """The kernel that the journal at `path` describes, with the journal attached.

        A damaged tail is cut first (`recovery` tells). Restores the latest sound snapshot, replays what follows and
        compares the running hashes; raises KernelError (REPLAY_DIFFERS) naming the first block that differs,
        JournalError where the journal is none or is in use.
        """
        opened = Journal(path, policy=policy)
        try:
            kernel = cls.replay(path)
            kernel.attach(opened)
        except BaseException:
            opened.close()
            raise
        return kernel

    @classmethod
    def replay(cls, path, *, on_events=None, snapshots=True, strict=True):
        """The kernel after the journal at `path`, which is only read; `on_events` gets each EVENT array of the replay.

        snapshots: begin at the latest sound one. strict: raise JournalError at damage, else stop before it.
        """
        report = verify(path)
        cdef Kernel kernel = cls(
            accounts=(), capacity=report.capacity or 1, closed_capacity=report.closed_capacity or 1
        )
        if snapshots:
            start = latest_snapshot(path, at_most=report.last_sequence)
            if start.payload is not None:
                kernel.restore(start.payload)
        for item in JournalReader(path, start=kernel.last_sequence + 1 if kernel.last_sequence else None,
                                  strict=strict):
            if isinstance(item, np.ndarray):
                commands = item[item["sequence"] > kernel.last_sequence]
                if commands.size and int(commands["sequence"][0]) != kernel.last_sequence + 1:
                    raise KernelError(
                        "JOURNAL", f"{path}: expected command {kernel.last_sequence + 1}, found "
                        f"{int(commands['sequence'][0])}"
                    )
                events = kernel.process(np.ascontiguousarray(commands))
                if on_events is not None:
                    on_events(events)
            elif item.command_sequence == kernel.last_sequence and (
                item.event_hash != kernel.event_hash() or item.journal_hash != kernel.journal_hash()
            ):
                raise KernelError(
                    "REPLAY_DIFFERS",
                    f"{path}: commands {max(1, item.command_sequence - CHECKPOINT + 1)} to {item.command_sequence} "
                    f"give event hash {kernel.event_hash():016x}, expected {item.event_hash:016x}",
                )
        return kernel

    def checkpoint(self):
        """Writes a snapshot beside the journal, so that `open` need not replay what lies before."""
        if self.journal is None:
            raise KernelError("JOURNAL", "checkpoint: expected a kernel with a journal")
        write_snapshot(self.journal.path, self.state.sequence, self.snapshot())

    @property
    def recovery(self):
        """JournalReport of what opening the journal found and cut; None where it was new, or there is none."""
        return self.journal.recovery if self.journal is not None else None

    def process(self, commands):
        """Events of `commands`, in order. Both are arrays of the module's dtypes; the input is not changed.

        Raises TypeError or ValueError for an array of another kind, JournalError (JOURNAL_FULL) before anything is
        taken where the journal has no room for new orders.
        """
        cdef Py_buffer view
        check_array(commands, COMMAND, "commands")
        PyObject_GetBuffer(commands, &view, PyBUF_SIMPLE)
        try:
            return self.all_events(<const command_t*>view.buf, view.len // <Py_ssize_t>sizeof(command_t))
        finally:
            PyBuffer_Release(&view)

    def process_into(self, commands, out):
        """(consumed, produced): takes commands while their events fit into the EVENT array `out`.

        Events that do not fit are kept and come first next time; call again with the commands not consumed (or with
        none) until `consumed` covers all and `produced` is less than the length of `out`.
        """
        cdef Py_buffer view
        cdef Py_ssize_t consumed
        check_array(commands, COMMAND, "commands")
        check_array(out, EVENT, "out")
        PyObject_GetBuffer(commands, &view, PyBUF_SIMPLE)
        try:
            self.check_room(<const command_t*>view.buf, view.len // <Py_ssize_t>sizeof(command_t))
            consumed = self.run(<const command_t*>view.buf, view.len // <Py_ssize_t>sizeof(command_t), out)
        finally:
            PyBuffer_Release(&view)
        self.settle()
        return consumed, self.state.out_count

    cdef object all_events(self, const command_t* commands, Py_ssize_t count):
        cdef Py_ssize_t done = 0
        self.check_room(commands, count)
        parts = []
        while True:
            out = np.empty(count - done + ((count - done) >> 2) + 64, EVENT)
            done += self.run(commands + done, count - done, out)
            parts.append(out[:self.state.out_count])
            if done == count and self.state.spill_read == self.state.spill_count:
                break
        self.settle()
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    cdef Py_ssize_t run(self, const command_t* commands, Py_ssize_t count, object out) except -1:
        """Fills `out`: kept events first, then those of commands; the number of commands taken."""
        cdef kernel_t* k = &self.state
        cdef Py_buffer view
        cdef Py_ssize_t i = 0, kept
        cdef journal_t* journal = self.journal_state
        PyObject_GetBuffer(out, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        k.out = <event_t*>view.buf
        k.out_capacity = view.len // <Py_ssize_t>sizeof(event_t)
        k.out_count = 0
        kept = k.spill_count - k.spill_read
        if kept:
            if kept > k.out_capacity:
                kept = k.out_capacity
            memcpy(k.out, &k.spill[k.spill_read], kept * sizeof(event_t))
            k.out_count = kept
            k.spill_read += kept
        if k.spill_read == k.spill_count:
            k.spill_read = 0
            k.spill_count = 0
            if count < 16:
                while i < count and k.spill_count == 0:
                    kernel_step(k, &commands[i], journal)
                    i += 1
            else:
                with nogil:
                    while i < count and k.spill_count == 0:
                        look_ahead(k, commands, i, count)
                        kernel_step(k, &commands[i], journal)
                        i += 1
        k.out = NULL
        k.out_capacity = 0
        PyBuffer_Release(&view)
        return i

    cdef object check_room(self, const command_t* commands, Py_ssize_t count):
        """Raises before anything is taken where the kernel has failed or new orders have no room in the journal."""
        cdef Py_ssize_t i
        if self.broken:
            raise KernelError("STOPPED", "kernel: stopped after its journal failed; open it anew from the journal")
        if self.journal_state == NULL or journal_room(self.journal_state, count):
            return
        for i in range(count):
            if commands[i].kind == COMMAND_NEW or commands[i].kind == COMMAND_REPLACE:
                raise JournalError(
                    f"{self.journal.path}: no room for another segment; new orders are refused, cancels are taken",
                    "journal full",
                )

    cdef int settle(self) except -1:
        """Writes the journal: no event is handed out before."""
        cdef int error
        if self.journal_state == NULL:
            return 0
        error = journal_flush(self.journal_state)
        if error:
            self.broken = True
            raise OSError(-error, f"{self.journal.path}: the journal could not be written; the kernel has stopped")
        return 0

    def close(self):
        """Ends the journal cleanly, if there is one. The kernel can still be looked at."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None
            self.journal_state = NULL

    def snapshot(self):
        """The whole state as bytes, for `restore`; layout in docs/kernel.md."""
        return snapshot_write(&self.state)

    def restore(self, data):
        """Takes over the state of a `snapshot`; raises ValueError for bytes that are none."""
        if self.journal is not None:
            raise KernelError("JOURNAL", "restore: expected a kernel without a journal")
        try:
            snapshot_read(&self.state, data)
        except BaseException:
            self.broken = True
            raise

    def state_hash(self):
        """XXH64 of the canonical state."""
        return snapshot_hash(&self.state)

    def event_hash(self):
        """XXH64 of all EVENT records since the journal began."""
        return xxh64_value(&self.state.event_hash, NULL, 0)

    def journal_hash(self):
        """XXH64 of all COMMAND records, sequenced and stamped, since the journal began."""
        return xxh64_value(&self.state.command_hash, NULL, 0)

    def depth(self, instrument_id, levels=10):
        """(bids, asks): DEPTH arrays of at most `levels` levels, best first: price_ticks, quantity, orders."""
        cdef uint32_t instrument = self.known(instrument_id)
        return (side_depth(&self.state, instrument, SIDE_BUY, levels),
                side_depth(&self.state, instrument, SIDE_SELL, levels))

    def best(self, instrument_id):
        """(bid, bid quantity, ask, ask quantity) in ticks and lots; quantity 0 where a side is empty."""
        cdef uint32_t instrument = self.known(instrument_id)
        cdef ladder_t* bids = ladder_of(&self.state, instrument, SIDE_BUY)
        cdef ladder_t* asks = ladder_of(&self.state, instrument, SIDE_SELL)
        cdef int64_t bid = 0, bid_quantity = 0, ask = 0, ask_quantity = 0
        if bids.best != LADDER_EMPTY:
            bid = bids.best
            bid_quantity = ladder_find(bids, bids.best).quantity
        if asks.best != LADDER_EMPTY:
            ask = -asks.best
            ask_quantity = ladder_find(asks, asks.best).quantity
        return bid, bid_quantity, ask, ask_quantity

    def positions(self, account_id):
        """Record array of the account's positions by instrument: quantity and open orders in lots, and cost, realised
        and unrealised P&L as exact integers in units of the instrument's currency. Raises KernelError for an account
        that is not open.
        """
        cdef kernel_t* k = &self.state
        cdef uint32_t i, index, account = account_of(k, account_id)
        cdef position_t* p
        cdef instrument_t* instrument
        if account == 0:
            raise KernelError("UNKNOWN_ACCOUNT", f"positions: account {account_id} is not open")
        rows = []
        for i in range(k.instrument_count):
            index = position_of(k, account, k.instrument_order[i])
            p = &k.positions[index]
            cost = money_int(p, False)
            realised = money_int(p, True)
            if index == 0 or not (p.quantity or cost or realised or p.open_buy or p.open_sell):
                continue
            instrument = &k.instruments[p.instrument]
            unrealised = 0
            if instrument.has_mark or instrument.has_last:
                mark = instrument.mark if instrument.has_mark else instrument.last
                unrealised = (<object>p.quantity) * mark * (<object>instrument.multiplier) + cost
            rows.append((instrument.id, p.quantity, p.open_buy, p.open_sell, cost, realised, unrealised))
        return np.array(rows, POSITION).view(np.recarray)

    cdef uint32_t known(self, object instrument_id) except 0:
        cdef uint32_t instrument = instrument_of(&self.state, instrument_id)
        if instrument == 0:
            raise KernelError("UNKNOWN_INSTRUMENT", f"kernel: instrument {instrument_id} is not known")
        return instrument

    @property
    def next_timer_ns(self):
        """Due time of the next timer, 0 where none is armed."""
        return self.state.timers[0].due_ns if self.state.timer_count else 0

    @property
    def now_ns(self):
        """Time of the last command."""
        return self.state.now_ns

    @property
    def last_sequence(self):
        """Sequence of the last command."""
        return self.state.sequence

    @property
    def last_event_sequence(self):
        """Sequence of the last event."""
        return self.state.event_sequence

    @property
    def open_orders(self):
        """Open orders of all accounts."""
        return self.state.orders.used

    @property
    def capacity(self):
        """Open orders that there is room for."""
        return self.state.capacity

    @property
    def closed_capacity(self):
        """Closed order ids remembered for each account."""
        return self.state.closed_capacity


cdef object side_depth(kernel_t* k, uint32_t instrument, int side, Py_ssize_t levels):
    cdef ladder_t* ladder = ladder_of(k, instrument, side)
    cdef int64_t rank = ladder.best, orders
    cdef uint32_t index
    rows = []
    while rank != LADDER_EMPTY and levels > 0:
        orders = 0
        index = ladder_find(ladder, rank).head
        while index:
            orders += 1
            index = order_at(k, index).next
        rows.append((rank if side == SIDE_BUY else -rank, ladder_find(ladder, rank).quantity, orders))
        rank = ladder_next(ladder, rank)
        levels -= 1
    return np.array(rows, DEPTH)


cdef int check_array(object array, object dtype, str name) except -1:
    """One-dimensional, C-contiguous, aligned ndarray of the very dtype, or an equal one."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, found {type(array).__name__}")
    if array.dtype is not dtype and array.dtype != dtype:
        raise TypeError(f"{name}: expected dtype nautilus.core.{'COMMAND' if dtype is COMMAND else 'EVENT'}, "
                        f"found {array.dtype}")
    if array.ndim != 1 or not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(f"{name}: expected one dimension, C-contiguous and aligned, found {array.ndim} dimension(s)"
                         f"{'' if array.flags.c_contiguous else ', not contiguous'}"
                         f"{'' if array.flags.aligned else ', not aligned'}")
    return 0
