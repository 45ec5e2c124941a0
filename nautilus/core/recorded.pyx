"""One writer, no lock. A recorded book as resting orders of one account: absolute quantities in, commands out.

For every (side, price) the level keeps what the venue reported last, its own resting orders in queue order and what
strategies took. A report becomes the few commands that bring the resting quantity to `recorded - taken`; what the
resting orders really are is learnt from the core's events alone, so nothing here can drift from the core.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcpy, memset

cimport numpy as cnp

import numpy as np

from nautilus.core.hashmap cimport map_close, map_delete, map_find, map_open, map_put
from nautilus.core.pool cimport pool_at, pool_close, pool_give, pool_open, pool_take
from nautilus.core.types cimport (
    ACTION_CLEAR,
    ACTION_SET,
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_EXPIRED,
    EVENT_FILLED,
    EVENT_REJECTED,
    EVENT_REPLACED,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    REASON_REQUESTED,
    REASON_SELF_MATCH,
    REASON_UNFILLED,
    RECORD_BOOKED,
    SIDE_BUY,
    SIDE_SELL,
    TIF_GTC,
    TIF_IOC,
    TYPE_LIMIT,
    book_delta_t,
    command_t,
    event_t,
    trade_t,
)

from nautilus.core.types import BOOK_DELTA, COMMAND, EVENT, TRADE

cnp.import_array()

cdef extern from *:
    ctypedef long long wide_t "__int128"

cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_ROWS = 1 << 30
EMPTY = np.zeros(0, COMMAND)
EMPTY.flags.writeable = False


cdef inline uint64_t level_key(uint8_t side, int64_t price) noexcept nogil:
    # Prices lie within 2^40: the sum is positive, so the key is never the map's reserved 0.
    return (<uint64_t>(price + 2 * MAX_PRICE) << 1) | (side == SIDE_SELL)


cdef int by_remainder(const void* left, const void* right) noexcept nogil:
    # Largest remainder first; the newer order first among equals, as with cancellation from the back.
    cdef const share_t* a = <const share_t*>left
    cdef const share_t* b = <const share_t*>right
    if a.remainder != b.remainder:
        return -1 if a.remainder > b.remainder else 1
    return -1 if a.place > b.place else 1


cdef cnp.ndarray records(object array, object dtype, str name):
    if not isinstance(array, np.ndarray) or (array.dtype is not dtype and array.dtype != dtype) or array.ndim != 1:
        found = f"{array.dtype} in {array.ndim} dimensions" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name}: found {found}, expected a one-dimensional array of the record's dtype")
    return np.ascontiguousarray(array)


cdef class RecordedLevels:
    """One instrument's recorded book and tape, as commands of two accounts.

    Parameters
    ----------
    instrument_id : int
    book_account : int
        Holds the displayed quantity; flags EXEMPT and RECORDED in the core.
    tape_account : int
        Trades; flag EXEMPT in the core.
    proportional : bool
        A decrease by cancellation leaves from all orders of the level in proportion (largest remainder) instead of
        from the back.
    capacity : int
        Largest number of levels and of resting orders, 1 to 2^30.
    first_order_id : int
        Above all ids that these accounts have used in the core.

    Notes
    -----
    `on_events` must see every EVENT array of the core, in order, before the next `update`.
    """

    def __cinit__(self, uint32_t instrument_id, uint32_t book_account, uint32_t tape_account, *,
                  bint proportional=False, uint32_t capacity=1 << 20, uint64_t first_order_id=1):
        self._instrument_id = instrument_id
        self._book_account = book_account
        self._tape_account = tape_account
        self._proportional = proportional
        self._next_order_id = first_order_id
        if not 1 <= capacity <= MAX_ROWS:
            raise ValueError(f"RecordedLevels: capacity {capacity}, expected 1 to 2^30")
        if (pool_open(&self._levels, sizeof(level_t), capacity, False) != 0
                or pool_open(&self._orders, sizeof(resting_t), capacity, False) != 0
                or map_open(&self._level_of, capacity) != 0
                or map_open(&self._order_of, capacity) != 0):
            raise MemoryError(f"RecordedLevels: no memory for {capacity} levels and orders")

    def __dealloc__(self):
        pool_close(&self._levels)
        pool_close(&self._orders)
        map_close(&self._level_of)
        map_close(&self._order_of)
        free(self._rows)
        free(self._touched)
        free(self._shares)

    def update(self, deltas, int64_t now_ns):
        """Commands for one update of the book: decreases first, then increases.

        Parameters
        ----------
        deltas : BOOK_DELTA array
            Actions SET (absolute quantity, 0 removes) and CLEAR (side 0: both). A level named more than once counts
            with its last quantity; after CLEAR a level that is not named again goes to 0.
        now_ns : int
            Time of the commands.

        Returns
        -------
        COMMAND array, possibly empty.

        Raises
        ------
        ValueError
            An order-by-order action.
        TypeError
            Not a BOOK_DELTA array.
        """
        cdef cnp.ndarray array = records(deltas, BOOK_DELTA, "RecordedLevels.update")
        cdef const book_delta_t* rows = <const book_delta_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t count = array.shape[0], i
        cdef uint32_t touched = 0, increases = 0, index
        cdef level_t* level
        cdef int64_t missing
        cdef int status = 0
        for i in range(count):
            if rows[i].action != ACTION_SET and rows[i].action != ACTION_CLEAR:
                raise ValueError(f"RecordedLevels.update: action {rows[i].action}, expected SET or CLEAR")
        self._stamp += 1
        for i in range(count):
            if rows[i].action == ACTION_CLEAR:
                for index in range(1, self._levels.high_water + 1):
                    level = <level_t*>pool_at(&self._levels, index)
                    if level.side != 0 and (rows[i].side == 0 or rows[i].side == level.side):
                        status = self._touch(touched, index, 0)
                        if status < 0:
                            break
                        touched += status
            elif (rows[i].side != SIDE_BUY and rows[i].side != SIDE_SELL) or not (
                    -MAX_PRICE <= rows[i].price_ticks <= MAX_PRICE and 0 <= rows[i].quantity <= MAX_QUANTITY):
                self.out_of_bounds += 1
            else:
                index = self._level(rows[i].side, rows[i].price_ticks, rows[i].quantity != 0)
                if index != 0:
                    status = self._touch(touched, index, rows[i].quantity)
                    touched += 1 if status > 0 else 0
                elif rows[i].quantity != 0:
                    self.out_of_bounds += 1         # more levels than the capacity
            if status < 0:
                break
        if status >= 0:
            for i in range(touched):
                index = self._touched[i]
                level = <level_t*>pool_at(&self._levels, index)
                if level.pending != level.recorded:
                    level.taken = 0
                    level.recorded = level.pending
                missing = max(<int64_t>0, level.recorded - level.taken) - level.resting
                if missing < 0:
                    status = self._decrease(index, -missing, now_ns)
                    if status < 0:
                        break
                elif missing > 0:
                    level.pending = missing
                    self._touched[increases] = index
                    increases += 1
                else:
                    self._drop_if_empty(index)
        if status >= 0:
            for i in range(increases):
                level = <level_t*>pool_at(&self._levels, self._touched[i])
                if not self._new(level.side, level.price, level.pending, now_ns, self._book_account, TIF_GTC, 0):
                    status = -1
                    break
        if status < 0:
            self._row_count = 0
            raise MemoryError("RecordedLevels.update: no memory for the commands")
        return self._take_rows()

    def trade(self, trades, int64_t now_ns):
        """Commands for recorded trades: IOC at the recorded price from the aggressor's side.

        Parameters
        ----------
        trades : TRADE array
            Flag BOOKED where the recorded book shows the trade already.
        now_ns : int
            Time of the commands.

        Returns
        -------
        COMMAND array, possibly empty.
        """
        cdef cnp.ndarray array = records(trades, TRADE, "RecordedLevels.trade")
        cdef const trade_t* rows = <const trade_t*>cnp.PyArray_DATA(array)
        cdef uint16_t flags
        cdef Py_ssize_t i
        for i in range(array.shape[0]):
            if not (-MAX_PRICE <= rows[i].price_ticks <= MAX_PRICE and 0 < rows[i].quantity <= MAX_QUANTITY
                    and (rows[i].side == SIDE_BUY or rows[i].side == SIDE_SELL)):
                self.out_of_bounds += 1
                continue
            flags = FLAG_TAPE | (FLAG_TAPE_BOOKED if rows[i].flags & RECORD_BOOKED else 0)
            if not self._new(rows[i].side, rows[i].price_ticks, rows[i].quantity, now_ns, self._tape_account, TIF_IOC,
                             flags):
                self._row_count = 0
                raise MemoryError("RecordedLevels.trade: no memory for the commands")
            self.trades += 1
        return self._take_rows()

    def on_events(self, events):
        """Take in an EVENT array of the core: which own orders opened, filled, changed or went."""
        cdef cnp.ndarray array = records(events, EVENT, "RecordedLevels.on_events")
        cdef const event_t* row = <const event_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t i
        cdef uint32_t book = self._book_account, tape = self._tape_account, index
        cdef uint32_t* found
        cdef level_t* level
        cdef resting_t* order
        cdef bint full = False
        for i in range(array.shape[0]):
            if row.instrument_id == self._instrument_id:
                if row.kind == EVENT_FILLED:
                    if row.account_id == book:
                        self._fill(row.order_id, row.quantity, True)
                    elif row.counter_account_id == book:
                        self._fill(row.counter_order_id, row.quantity, row.account_id != tape)
                elif row.account_id == book:
                    if row.kind == EVENT_ACCEPTED:
                        if not self._open(row):
                            full = True
                    elif row.kind == EVENT_CANCELLED or row.kind == EVENT_EXPIRED:
                        if row.reason == REASON_REQUESTED:
                            self.cancels += 1
                        elif row.reason == REASON_SELF_MATCH:
                            self.crossing_removals += 1
                        else:
                            self.other_removals += 1
                        found = map_find(&self._order_of, row.order_id)
                        if found is not NULL:
                            self._remove(found[0])
                    elif row.kind == EVENT_REPLACED:
                        self.reductions += 1
                        found = map_find(&self._order_of, row.order_id)
                        if found is not NULL:
                            order = <resting_t*>pool_at(&self._orders, found[0])
                            level = <level_t*>pool_at(&self._levels, order.level)
                            level.resting += row.leaves_quantity - order.leaves
                            order.leaves = row.leaves_quantity
                    elif row.kind == EVENT_REJECTED:
                        self._refused[row.reason] += 1
                elif row.account_id == tape:
                    if row.kind == EVENT_CANCELLED and row.reason == REASON_UNFILLED:
                        self.unmatched_trades += 1
                        self.unmatched_lots += row.quantity
                    elif row.kind == EVENT_REJECTED:
                        self._refused[row.reason] += 1
            row += 1
        if full:
            raise MemoryError(f"RecordedLevels: more than {self._orders.capacity} resting orders")

    def level(self, int side, int64_t price_ticks):
        """`(recorded, resting, taken, ((order id, leaves), ...))` of one level, first in queue first."""
        cdef uint32_t index = 0, cursor
        cdef level_t* level
        cdef resting_t* order
        if -MAX_PRICE <= price_ticks <= MAX_PRICE:
            index = self._level(<uint8_t>side, price_ticks, False)
        if index == 0:
            return (0, 0, 0, ())
        level = <level_t*>pool_at(&self._levels, index)
        queue = []
        cursor = level.head
        while cursor != 0:
            order = <resting_t*>pool_at(&self._orders, cursor)
            queue.append((order.order_id, order.leaves))
            cursor = order.next
        return (level.recorded, level.resting, level.taken, tuple(queue))

    @property
    def refused(self):
        """Commands that the core refused, by Reason number."""
        return {reason: self._refused[reason] for reason in range(256) if self._refused[reason]}

    @property
    def open_levels(self):
        """Levels held in memory."""
        return self._levels.used

    @property
    def open_orders(self):
        """Resting orders in the core."""
        return self._orders.used

    cdef uint32_t _level(self, uint8_t side, int64_t price, bint create) noexcept:
        cdef uint64_t key = level_key(side, price)
        cdef uint32_t* found = map_find(&self._level_of, key)
        cdef uint32_t index
        cdef level_t* level
        if found is not NULL:
            return found[0]
        if not create:
            return 0
        index = pool_take(&self._levels)
        if index == 0:
            return 0
        if map_put(&self._level_of, key, index) != 0:
            pool_give(&self._levels, index)
            return 0
        level = <level_t*>pool_at(&self._levels, index)
        memset(level, 0, sizeof(level_t))
        level.side = side
        level.price = price
        return index

    cdef void _drop_if_empty(self, uint32_t index) noexcept:
        cdef level_t* level = <level_t*>pool_at(&self._levels, index)
        if level.recorded == 0 and level.head == 0:
            map_delete(&self._level_of, level_key(level.side, level.price))
            level.side = 0
            pool_give(&self._levels, index)

    cdef bint _open(self, const event_t* row) noexcept:
        cdef uint32_t index = self._level(row.side, row.price_ticks, True)
        cdef uint32_t taken = pool_take(&self._orders) if index != 0 else 0
        cdef level_t* level
        cdef resting_t* order
        if taken == 0 or map_put(&self._order_of, row.order_id, taken) != 0:
            return False
        level = <level_t*>pool_at(&self._levels, index)
        order = <resting_t*>pool_at(&self._orders, taken)
        order.level = index
        order.previous = level.tail
        order.next = 0
        order.order_id = row.order_id
        order.leaves = row.quantity
        order.filled = 0
        if level.tail != 0:
            (<resting_t*>pool_at(&self._orders, level.tail)).next = taken
        else:
            level.head = taken
        level.tail = taken
        level.resting += row.quantity
        self.orders += 1
        return True

    cdef void _remove(self, uint32_t index) noexcept:
        cdef resting_t* order = <resting_t*>pool_at(&self._orders, index)
        cdef level_t* level = <level_t*>pool_at(&self._levels, order.level)
        cdef uint32_t home = order.level
        level.resting -= order.leaves
        if order.previous != 0:
            (<resting_t*>pool_at(&self._orders, order.previous)).next = order.next
        else:
            level.head = order.next
        if order.next != 0:
            (<resting_t*>pool_at(&self._orders, order.next)).previous = order.previous
        else:
            level.tail = order.previous
        map_delete(&self._order_of, order.order_id)
        pool_give(&self._orders, index)
        self._drop_if_empty(home)

    cdef void _fill(self, uint64_t order_id, int64_t quantity, bint by_strategy) noexcept:
        cdef uint32_t* found = map_find(&self._order_of, order_id)
        cdef resting_t* order
        cdef level_t* level
        if found is NULL:
            return
        order = <resting_t*>pool_at(&self._orders, found[0])
        level = <level_t*>pool_at(&self._levels, order.level)
        order.leaves -= quantity
        order.filled += quantity
        level.resting -= quantity
        if by_strategy:
            level.taken += quantity
            self.taken_lots += quantity
        if order.leaves == 0:
            self._remove(found[0])

    cdef int _touch(self, uint32_t count, uint32_t index, int64_t quantity) noexcept:
        # 1: named for the first time in this update, 0: again, -1: no memory.
        cdef level_t* level = <level_t*>pool_at(&self._levels, index)
        cdef uint32_t capacity
        cdef void* grown
        level.pending = quantity
        if level.stamp == self._stamp:
            return 0
        if count >= self._touched_capacity:
            capacity = 2 * self._touched_capacity if self._touched_capacity != 0 else 1024
            grown = realloc(self._touched, capacity * sizeof(uint32_t))
            if grown is NULL:
                return -1
            self._touched = <uint32_t*>grown
            self._touched_capacity = capacity
        level.stamp = self._stamp
        self._touched[count] = index
        return 1

    cdef command_t* _row(self, uint8_t kind, int64_t now_ns, uint64_t order_id) noexcept:
        cdef uint32_t capacity
        cdef void* grown
        cdef command_t* row
        if self._row_count >= self._row_capacity:
            capacity = 2 * self._row_capacity if self._row_capacity != 0 else 1024
            grown = realloc(self._rows, capacity * sizeof(command_t))
            if grown is NULL:
                return NULL
            self._rows = <command_t*>grown
            self._row_capacity = capacity
        row = self._rows + self._row_count
        self._row_count += 1
        memset(row, 0, sizeof(command_t))
        row.kind = kind
        row.now_ns = now_ns
        row.order_id = order_id
        row.instrument_id = self._instrument_id
        row.account_id = self._book_account
        return row

    cdef bint _new(self, uint8_t side, int64_t price, int64_t quantity, int64_t now_ns, uint32_t account,
                   uint8_t time_in_force, uint16_t flags) noexcept:
        cdef command_t* row = self._row(COMMAND_NEW, now_ns, self._next_order_id)
        if row is NULL:
            return False
        self._next_order_id += 1
        row.account_id = account
        row.side = side
        row.price_ticks = price
        row.quantity = quantity
        row.order_type = TYPE_LIMIT
        row.time_in_force = time_in_force
        row.flags = flags
        return True

    cdef int _cut(self, uint32_t index, int64_t quantity, int64_t now_ns) noexcept:
        """Command that takes `quantity` off an order: a cancellation, or a replacement that keeps its place."""
        cdef resting_t* order = <resting_t*>pool_at(&self._orders, index)
        cdef command_t* row
        if quantity >= order.leaves:
            return 0 if self._row(COMMAND_CANCEL, now_ns, order.order_id) is not NULL else -1
        row = self._row(COMMAND_REPLACE, now_ns, order.order_id)
        if row is NULL:
            return -1
        row.price_ticks = (<level_t*>pool_at(&self._levels, order.level)).price
        row.quantity = order.filled + order.leaves - quantity
        return 0

    cdef int _decrease(self, uint32_t index, int64_t quantity, int64_t now_ns) noexcept:
        cdef level_t* level = <level_t*>pool_at(&self._levels, index)
        cdef resting_t* order
        cdef uint32_t cursor = level.tail
        if self._proportional and quantity < level.resting:
            return self._decrease_in_proportion(index, quantity, now_ns)
        while quantity > 0 and cursor != 0:
            order = <resting_t*>pool_at(&self._orders, cursor)
            if self._cut(cursor, quantity, now_ns) != 0:
                return -1
            quantity -= order.leaves
            cursor = order.previous
        return 0

    cdef int _decrease_in_proportion(self, uint32_t index, int64_t quantity, int64_t now_ns) noexcept:
        cdef level_t* level = <level_t*>pool_at(&self._levels, index)
        cdef resting_t* order
        cdef uint32_t cursor = level.head, count = 0, capacity, i
        cdef void* grown
        cdef wide_t product
        cdef int64_t left = quantity
        while cursor != 0:
            if count >= self._share_capacity:
                capacity = 2 * self._share_capacity if self._share_capacity != 0 else 64
                grown = realloc(self._shares, capacity * sizeof(share_t))
                if grown is NULL:
                    return -1
                self._shares = <share_t*>grown
                self._share_capacity = capacity
            order = <resting_t*>pool_at(&self._orders, cursor)
            product = <wide_t>order.leaves * quantity
            self._shares[count].cut = <int64_t>(product / level.resting)
            self._shares[count].remainder = <int64_t>(product % level.resting)
            self._shares[count].order = cursor
            self._shares[count].place = count
            left -= self._shares[count].cut
            count += 1
            cursor = order.next
        # The floors leave fewer than `count` lots; quantity < resting, so none of them makes an order negative.
        if left > 0:
            qsort(self._shares, count, sizeof(share_t), by_remainder)
        for i in range(count):
            quantity = self._shares[i].cut + (1 if i < left else 0)
            if quantity > 0 and self._cut(self._shares[i].order, quantity, now_ns) != 0:
                return -1
        return 0

    cdef object _take_rows(self):
        cdef uint32_t count = self._row_count
        cdef cnp.ndarray rows
        if count == 0:
            return EMPTY
        rows = np.empty(count, COMMAND)
        memcpy(cnp.PyArray_DATA(rows), self._rows, count * sizeof(command_t))
        self._row_count = 0
        return rows
