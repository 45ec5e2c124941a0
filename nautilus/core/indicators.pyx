"""One thread. Indicators of any number of instruments, one row at a time or many: the same steps, so the same bits.

A `Program` is a list of nodes (indicator_steps.pxd) over numbered columns: the inputs first, then what each node
writes. A `Bank` runs it for each of its slots (an instrument each). A slot keeps the past of those columns alone whose
readers reach back; the others live in a scratch that all slots share. A row costs the same whatever went before it, but
for the move of the kept past, once in `slack` rows.
"""

cimport numpy as cnp
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

from nautilus.core.indicator_cycles cimport HILBERT_STATE, LONGEST_PERIOD, set_turns
from nautilus.core.indicator_nodes cimport run_node
from nautilus.core.indicator_steps cimport *

import numpy as np

cnp.import_array()
set_turns()

OPERATIONS = {
    "linear": OP_LINEAR,
    "product": OP_PRODUCT,
    "ratio": OP_RATIO,
    "absolute": OP_ABSOLUTE,
    "log": OP_LOG,
    "gain": OP_GAIN,
    "least": OP_LEAST,
    "most": OP_MOST,
    "angle": OP_ANGLE,
    "root": OP_ROOT,
    "range": OP_RANGE,
    "direction": OP_DIRECTION,
    "flow": OP_FLOW,
    "signed": OP_SIGNED,
    "split": OP_SPLIT,
    "where": OP_WHERE,
    "position": OP_POSITION,
    "quotient": OP_QUOTIENT,
    "sum": OP_SUM,
    "total": OP_TOTAL,
    "average": OP_AVERAGE,
    "wilder": OP_WILDER,
    "weighted": OP_WEIGHTED,
    "exact": OP_EXACT,
    "highest": OP_HIGHEST,
    "lowest": OP_LOWEST,
    "variance": OP_VARIANCE,
    "covariance": OP_COVARIANCE,
    "regression": OP_REGRESSION,
    "deviation": OP_DEVIATION,
    "adaptive": OP_ADAPTIVE,
    "parabolic": OP_PARABOLIC,
    "supertrend": OP_SUPERTREND,
    "index": OP_INDEX,
    "candle": OP_CANDLE,
    "rank": OP_RANK,
    "percentile": OP_PERCENTILE,
    "pressure": OP_PRESSURE,
    "tick": OP_TICK,
    "seeded": OP_SEEDED,
    "sine": OP_SINE,
    "hilbert": OP_HILBERT,
    "phase": OP_PHASE,
    "trend_line": OP_TREND_LINE,
    "trend_mode": OP_TREND_MODE,
    "mesa": OP_MESA,
    "amount": OP_AMOUNT,
    "sign": OP_SIGN,
    "chosen": OP_CHOSEN,
    "balance": OP_BALANCE,
    "trend": OP_TREND,
}
# Doubles that a node keeps between rows; the others keep none, a percentile its window.
_STATE = {
    OP_SUM: 1, OP_TOTAL: 1, OP_AVERAGE: 1, OP_SEEDED: 1, OP_WILDER: 1, OP_WEIGHTED: 2, OP_HIGHEST: 2, OP_LOWEST: 2,
    OP_ADAPTIVE: 1, OP_PARABOLIC: 4, OP_SUPERTREND: 3, OP_INDEX: 1, OP_CANDLE: 2, OP_TICK: 1, OP_BALANCE: 1, OP_TREND: 1,
    OP_HILBERT: HILBERT_STATE, OP_PHASE: 1, OP_TREND_LINE: 3, OP_TREND_MODE: 4, OP_MESA: 3,
}
# Rows before the present one that a node reads of its sources, where it reads any.
_LONGEST = LONGEST_PERIOD - 1
_BACK = {
    OP_ADAPTIVE: (1,), OP_PARABOLIC: (1, 1), OP_SUPERTREND: (0, 0, 1), OP_INDEX: (1, 1), OP_PRESSURE: (1, 1, 1, 1),
    OP_TICK: (1,), OP_BALANCE: (1,), OP_TREND: (1,), OP_HILBERT: (6,), OP_PHASE: (_LONGEST,), OP_TREND_LINE: (_LONGEST,),
}
_WINDOWED = (
    OP_SUM, OP_WEIGHTED, OP_EXACT, OP_HIGHEST, OP_LOWEST, OP_VARIANCE, OP_COVARIANCE, OP_REGRESSION, OP_DEVIATION,
)
_MOST_ROWS = 1 << 53
_BLOCK = 256                    # rows of a batch that go through all nodes together: their columns stay in the cache


def _back(int operation, int n, int source):
    """Rows before the present one that a node reads of a source; one that is not given is the last that is."""
    if operation in _WINDOWED:
        return n - 1 if source == 0 or (source == 1 and operation == OP_COVARIANCE) else 0
    if operation in (OP_RANK, OP_PERCENTILE):
        return n if source == 0 else 0
    reads = _BACK.get(operation, ())
    return reads[source] if source < len(reads) else 0


cdef class Program:
    """Nodes over columns; any number of banks may run one.

    Parameters
    ----------
    inputs : int
        Columns 0 .. inputs - 1 are given for each row.
    nodes : sequence of tuples
        (operation, sources, outputs, start, reach, n, m, a, b, c). `sources`: up to four pairs (column, lag);
        `outputs`: columns that it writes, the next free numbers; `start`: first row on which all that it reads is
        defined; `reach`: rows before the present one that it reads of each source.
    outputs : sequence of pairs
        (column, first row on which it is defined).

    Raises
    ------
    ValueError
        A node reads a column that is not written before it, or one of its numbers is none.
    """

    def __init__(self, int inputs, nodes, outputs):
        written = inputs
        reach = [0] * inputs
        begins = [0] * inputs   # first row on which each column is written
        kept = []
        if inputs < 1:
            raise ValueError(f"inputs: {inputs}, expected 1 or more")
        for node in nodes:
            operation, sources, wrote, start, backs, n, m, a, b, c = node
            if operation not in OPERATIONS:
                raise ValueError(f"operation {operation!r}, expected one of {', '.join(sorted(OPERATIONS))}")
            if not 1 <= len(sources) <= 4 or len(backs) != len(sources) or not 1 <= len(wrote) <= 3:
                raise ValueError(f"{operation}: {len(sources)} sources and {len(wrote)} outputs, expected 1 to 4, 1 to 3")
            if n < 1 or start < 0:
                raise ValueError(f"{operation}: n {n}, start {start}, expected 1 and 0 or more")
            code = OPERATIONS[operation]
            if code == OP_PERCENTILE and not 1 <= m <= n:
                raise ValueError(f"{operation}: rank {m}, expected 1 to {n}")
            for place, ((column, lag), back) in enumerate(zip(sources, backs)):
                if not 0 <= column < written or lag < 0:
                    raise ValueError(f"{operation}: column {column}, lag {lag}, expected one written before")
                if start < begins[column] + lag:
                    raise ValueError(f"{operation}: start {start}, expected {begins[column] + lag} or later")
                last = place == len(sources) - 1
                least = max([_back(code, n, each) for each in range(place, 4 if last else place + 1)])
                if back < least:
                    raise ValueError(f"{operation}: reach {back} of source {place}, expected {least} or more")
                reach[column] = max(reach[column], lag + back)
            if list(wrote) != list(range(written, written + len(wrote))):
                raise ValueError(f"{operation}: outputs {wrote}, expected the next, from {written}")
            written += len(wrote)
            reach += [0] * len(wrote)
            begins += [start] * len(wrote)
            kept.append((code, tuple(sources), tuple(wrote), start, n, m, a, b, c))
        for column, start in outputs:
            if not 0 <= column < written or start < begins[column]:
                raise ValueError(f"output of column {column} from row {start}, expected one that is written by then")
        self.inputs, self.columns, self.outputs = inputs, written, len(outputs)
        self.nodes, self._nodes, self._reach = tuple(nodes), tuple(kept), reach
        self.output_columns = tuple(column for column, _ in outputs)
        self.starts = np.array([start for _, start in outputs], np.int64)
        self.starts.flags.writeable = False


cdef class Bank:
    """One thread. Memory of each slot (an instrument), made when it gets its first row.

    Parameters
    ----------
    program : Program
    capacity : int
        Slots.
    slack : int
        Rows after which the kept past of a slot is moved, and the most that one run of the nodes takes.
    """

    def __cinit__(self, Program program not None, int capacity=1, int slack=16):
        if capacity < 1 or slack < 1:
            raise ValueError(f"capacity {capacity}, slack {slack}, expected 1 or more")
        self.program, self.capacity, self.slack = program, capacity, slack
        self.inputs, self.outputs, self.count_nodes = program.inputs, program.outputs, len(program._nodes)
        self.nodes = <node_t*>calloc(max(self.count_nodes, 1), sizeof(node_t))
        self.slots = <double**>calloc(capacity, sizeof(double*))
        self.rows = <int64_t*>calloc(capacity, sizeof(int64_t))
        self.kept_at = <int64_t*>calloc(program.columns, sizeof(int64_t))
        self.kept_reach = <int64_t*>calloc(program.columns, sizeof(int64_t))
        self.input_at = <int64_t*>calloc(program.inputs, sizeof(int64_t))
        self.output_kept = <int32_t*>calloc(max(program.outputs, 1), sizeof(int32_t))
        self.output_at = <int64_t*>calloc(max(program.outputs, 1), sizeof(int64_t))
        self.output_start = <int64_t*>calloc(max(program.outputs, 1), sizeof(int64_t))
        if not (self.nodes and self.slots and self.rows and self.kept_at and self.kept_reach and self.input_at
                and self.output_kept and self.output_at and self.output_start):
            raise MemoryError("Bank: no memory")
        self.lay()

    def __dealloc__(self):
        cdef int64_t j
        if self.slots != NULL:
            for j in range(self.capacity):
                free(self.slots[j])
        free(self.slots)
        free(self.nodes)
        free(self.rows)
        free(self.scratch)
        free(self.kept_at)
        free(self.kept_reach)
        free(self.input_at)
        free(self.output_kept)
        free(self.output_at)
        free(self.output_start)

    cdef int lay(self) except -1:
        """Where each column lies: inputs and those that are read back in the slot, the others in the scratch."""
        cdef node_t* node
        cdef int64_t memory = 0, scratch = 0
        cdef int j, k
        place = []
        for j in range(self.program.columns):
            reach = self.program._reach[j]
            if reach or j < self.inputs:
                place.append((1, memory + reach))
                self.kept_at[self.kept_columns] = memory + reach
                self.kept_reach[self.kept_columns] = reach
                self.kept_columns += 1
                if j < self.inputs:
                    self.input_at[j] = memory + reach
                memory += reach + self.slack
            else:
                place.append((0, scratch))
                scratch += self.slack
        for j in range(self.count_nodes):
            operation, sources, wrote, start, n, m, a, b, c = self.program._nodes[j]
            node = &self.nodes[j]
            node.op, node.start, node.n, node.m, node.a, node.b, node.c = operation, start, n, m, a, b, c
            for k in range(4):
                column, lag = sources[min(k, len(sources) - 1)]
                node.kept |= place[column][0] << k
                node.source[k] = place[column][1] - lag
            for k in range(3):
                column = wrote[min(k, len(wrote) - 1)]
                node.kept |= place[column][0] << (4 + k)
                node.output[k] = place[column][1]
            node.state = memory
            memory += n if operation == OP_PERCENTILE else _STATE.get(operation, 0)
        for j, column in enumerate(self.program.output_columns):
            self.output_kept[j], self.output_at[j] = place[column]
            self.output_start[j] = self.program.starts[j]
        self.values_at = memory
        self.slot_doubles = memory + self.outputs
        self.slot_bytes = self.slot_doubles * sizeof(double)
        self.scratch = <double*>calloc(max(scratch, 1), sizeof(double))
        if self.scratch == NULL:
            raise MemoryError("Bank: no memory")
        return 0

    cdef int claim(self, int64_t slot) except -1:
        if not 0 <= slot < self.capacity:
            raise IndexError(f"slot {slot}, expected 0 to {self.capacity - 1}")
        if self.slots[slot] == NULL:
            self.slots[slot] = <double*>calloc(self.slot_doubles, sizeof(double))
            if self.slots[slot] == NULL:
                raise MemoryError("Bank: no memory")
        return 0

    cdef int take(self, int64_t slot, const double* row) except -1:
        """One row of a slot, of finite numbers."""
        cdef int64_t j, used
        self.claim(slot)
        used = self.rows[slot] % self.slack
        for j in range(self.inputs):
            self.slots[slot][self.input_at[j] + used] = row[j]
        self.advance(slot, 1)
        return 0

    cdef void forget(self, int64_t slot) noexcept nogil:
        """As if the slot had never had a row."""
        self.rows[slot] = 0
        if self.slots[slot] != NULL:
            memset(self.slots[slot], 0, self.slot_bytes)

    cdef void advance(self, int64_t slot, int64_t count) noexcept nogil:
        """The `count` rows that lie in the input columns, through all nodes; the last values go to the slot's end."""
        cdef double* memory = self.slots[slot]
        cdef int64_t row = self.rows[slot], used = row % self.slack, j
        cdef double* at = memory + used
        for j in range(self.count_nodes):
            run_node(&self.nodes[j], memory, at, self.scratch, row, count)
        for j in range(self.outputs):
            # Before it is defined the scratch has what another slot left in it.
            memory[self.values_at + j] = 0.0
            if row + count > self.output_start[j]:
                memory[self.values_at + j] = ((at if self.output_kept[j] else self.scratch) + self.output_at[j])[count - 1]
        self.rows[slot] = row + count
        if used + count == self.slack:
            for j in range(self.kept_columns):
                if self.kept_reach[j]:
                    at = memory + self.kept_at[j] - self.kept_reach[j]
                    memmove(at, at + self.slack, self.kept_reach[j] * sizeof(double))

    def update(self, int64_t slot, *row):
        """One row of a slot, a number for each input."""
        cdef int64_t j, used
        cdef double value
        if len(row) != self.inputs:
            raise ValueError(f"{len(row)} numbers, expected {self.inputs}")
        self.claim(slot)
        used = self.rows[slot] % self.slack
        for j in range(self.inputs):
            value = row[j]
            if not isfinite(value):
                raise ValueError(f"input {j}: {value}, expected a finite number")
            self.slots[slot][self.input_at[j] + used] = value
        self.advance(slot, 1)

    def feed(self, const int32_t[::1] slots, const double[:, ::1] rows):
        """Rows of many slots, in their order: row i belongs to slots[i]. All are checked before one is taken."""
        cdef int64_t i, j, used, slot, count = rows.shape[0]
        if slots.shape[0] != count or rows.shape[1] != self.inputs:
            raise ValueError(f"{slots.shape[0]} slots, rows {rows.shape[0]} x {rows.shape[1]}, expected x {self.inputs}")
        for i in range(count):
            self.claim(slots[i])
            for j in range(self.inputs):
                if not isfinite(rows[i, j]):
                    raise ValueError(f"row {i}, input {j}: {rows[i, j]}, expected a finite number")
        with nogil:
            for i in range(count):
                slot = slots[i]
                if not 0 <= slot < self.capacity or self.slots[slot] == NULL:
                    with gil:
                        raise ValueError(f"slot {slot} in row {i}: it was another one, expected an array at rest")
                used = self.rows[slot] % self.slack
                for j in range(self.inputs):
                    self.slots[slot][self.input_at[j] + used] = rows[i, j]
                self.advance(slot, 1)

    def rows_of(self, int64_t slot):
        """Rows that a slot has had."""
        if not 0 <= slot < self.capacity:
            raise IndexError(f"slot {slot}, expected 0 to {self.capacity - 1}")
        return self.rows[slot]

    def values(self, int64_t slot):
        """(values, valid) of the outputs after the last row; where not valid the value is 0."""
        cdef int64_t j
        self.claim(slot)
        values, valid = np.zeros(self.outputs), np.zeros(self.outputs, np.bool_)
        cdef double[::1] into = values
        cdef cnp.uint8_t[::1] marks = valid.view(np.uint8)
        cdef double value
        for j in range(self.outputs):
            value = self.slots[slot][self.values_at + j]
            if self.rows[slot] > self.output_start[j] and isfinite(value):
                into[j], marks[j] = value, 1
        return values, valid

    def table(self, const int32_t[::1] slots):
        """(values, valid) of many slots, slots x outputs."""
        cdef int64_t i, j, count = slots.shape[0]
        cdef double value
        for i in range(count):
            self.claim(slots[i])
        values, valid = np.zeros((count, self.outputs)), np.zeros((count, self.outputs), np.bool_)
        cdef double[:, ::1] into = values
        cdef cnp.uint8_t[:, ::1] marks = valid.view(np.uint8)
        for i in range(count):
            for j in range(self.outputs):
                value = self.slots[slots[i]][self.values_at + j]
                if self.rows[slots[i]] > self.output_start[j] and isfinite(value):
                    into[i, j], marks[i, j] = value, 1
        return values, valid

    def column(self, const int32_t[::1] slots, int64_t output):
        """(values, valid) of one output of many slots; a slot without rows has none."""
        cdef int64_t i, count = slots.shape[0]
        cdef double value
        if not 0 <= output < self.outputs:
            raise IndexError(f"output {output}, expected 0 to {self.outputs - 1}")
        values, valid = np.zeros(count), np.zeros(count, np.bool_)
        cdef double[::1] into = values
        cdef cnp.uint8_t[::1] marks = valid.view(np.uint8)
        for i in range(count):
            if not 0 <= slots[i] < self.capacity:
                raise IndexError(f"slot {slots[i]}, expected 0 to {self.capacity - 1}")
            if self.rows[slots[i]] > self.output_start[output]:
                value = self.slots[slots[i]][self.values_at + output]
                if isfinite(value):
                    into[i], marks[i] = value, 1
        return values, valid

    def run(self, int64_t slot, *columns):
        """Rows of a slot as one array for each input: (values, valid), outputs x rows, of every row."""
        cdef int64_t count, done = 0, take, j, k, row, used
        cdef double* source
        cdef const double[::1] column
        cdef double value
        if len(columns) != self.inputs:
            raise ValueError(f"{len(columns)} columns, expected {self.inputs}")
        columns = [np.ascontiguousarray(each, dtype=np.float64) for each in columns]
        count = columns[0].size
        for each in columns:
            if each.ndim != 1 or each.size != count:
                raise ValueError(f"columns of {count} and {each.size} rows, expected as many of each")
            if not np.isfinite(each).all():
                raise ValueError("a number that is none, expected finite numbers")
        self.claim(slot)
        values, valid = np.empty((self.outputs, count)), np.zeros((self.outputs, count), np.bool_)
        cdef double[:, ::1] into = values
        cdef cnp.uint8_t[:, ::1] marks = valid.view(np.uint8)
        while done < count:
            row = self.rows[slot]
            used = row % self.slack
            take = min(count - done, self.slack - used)
            for j in range(self.inputs):
                column = columns[j]
                source = self.slots[slot] + self.input_at[j] + used
                for k in range(take):
                    source[k] = column[done + k]
            self.move(slot, take, done, into, marks)
            done += take
        return values, valid

    cdef int move(self, int64_t slot, int64_t take, int64_t done, double[:, ::1] into,
                  unsigned char[:, ::1] marks) except -1:
        cdef int64_t j, k, row = self.rows[slot], used = row % self.slack
        cdef double* memory = self.slots[slot]
        cdef double* at = memory + used
        cdef double* source
        cdef double value
        for j in range(self.count_nodes):
            run_node(&self.nodes[j], memory, at, self.scratch, row, take)
        for j in range(self.outputs):
            source = (at if self.output_kept[j] else self.scratch) + self.output_at[j]
            memory[self.values_at + j] = source[take - 1] if row + take > self.output_start[j] else 0.0
            for k in range(take):
                value = source[k]
                if row + k >= self.output_start[j] and isfinite(value):
                    into[j, done + k], marks[j, done + k] = value, 1
                else:
                    into[j, done + k] = 0.0
        self.rows[slot] = row + take
        if used + take == self.slack:
            for j in range(self.kept_columns):
                if self.kept_reach[j]:
                    at = memory + self.kept_at[j] - self.kept_reach[j]
                    memmove(at, at + self.slack, self.kept_reach[j] * sizeof(double))
        return 0

    def state(self, int64_t slot):
        """(rows, bytes) of a slot: what `restore` takes, in a bank of the same program and slack."""
        self.claim(slot)
        return self.rows[slot], (<char*>self.slots[slot])[: self.slot_bytes]

    def restore(self, int64_t slot, int64_t rows, const unsigned char[::1] memory):
        """Go on where `state` was taken. Whatever the bytes say, steps read and write their own memory alone."""
        if memory.shape[0] != self.slot_bytes or not 0 <= rows <= _MOST_ROWS:
            raise ValueError(
                f"{memory.shape[0]} bytes, {rows} rows, expected {self.slot_bytes} bytes, 0 to {_MOST_ROWS} rows"
            )
        self.claim(slot)
        memmove(self.slots[slot], &memory[0], self.slot_bytes)
        self.rows[slot] = rows


def batch(Program program not None, *columns):
    """(values, valid), outputs x rows, of whole columns from their first row on."""
    return Bank(program, 1, _BLOCK).run(0, *columns)
