"""Decoder of LOBSTER files; the number parsers are in lobster.pxd."""

from collections import namedtuple

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memchr, memset

cnp.import_array()

MESSAGE = np.dtype([
    ("time_ns", "<i8"),
    ("order_id", "<i8"),
    ("quantity", "<i8"),
    ("price", "<i8"),
    ("kind", "u1"),
    ("direction", "i1"),
], align=True)
CsvFault = namedtuple("CsvFault", ("line", "what", "expected"))
globals().update(
    MESSAGE_ADD=MESSAGE_ADD, MESSAGE_REDUCE=MESSAGE_REDUCE, MESSAGE_DELETE=MESSAGE_DELETE,
    MESSAGE_EXECUTE=MESSAGE_EXECUTE, MESSAGE_EXECUTE_HIDDEN=MESSAGE_EXECUTE_HIDDEN, MESSAGE_CROSS=MESSAGE_CROSS,
    MESSAGE_HALT=MESSAGE_HALT,
)

_MESSAGE_FIELDS = ("time", "type", "order id", "size", "price", "direction")
_MESSAGE_EXPECTED = (
    "seconds after midnight, below 172800", "1 to 7", "a whole number", "a whole number, 1 or more", "a price above 0",
    "1 or -1",
)


cdef int message_line(const char* p, const char* end, lobster_message_t* message, int* column) noexcept nogil:
    """One line into `message`; a status, with the faulty column."""
    cdef int64_t value = 0
    cdef int status
    for column[0] in range(6):
        if column[0] == 0:
            status = parse_seconds(&p, end, &message.time_ns)
        else:
            status = parse_signed(&p, end, &value)
        if status != CSV_OK:
            return status
        if column[0] == 1:
            if value < MESSAGE_ADD or value > MESSAGE_HALT:
                return CSV_VALUE
            message.kind = <unsigned char>value
        elif column[0] == 2:
            message.order_id = value
        elif column[0] == 3:
            message.quantity = value
        elif column[0] == 4:
            message.price = value
        elif column[0] == 5:
            if value != 1 and value != -1:
                return CSV_VALUE
            message.direction = <signed char>value
        if column[0] < 5:
            if p == end or p[0] != c",":
                return CSV_COLUMNS if p == end else CSV_NUMBER
            p += 1
    if p != end:
        return CSV_COLUMNS if p[0] == c"," else CSV_NUMBER
    if message.kind <= MESSAGE_EXECUTE_HIDDEN:
        # Halts and auction prints carry placeholders; the others name an order, a size and a price.
        column[0] = 2
        if message.order_id < 0:
            return CSV_VALUE
        column[0] = 3
        if message.quantity <= 0:
            return CSV_VALUE
        column[0] = 4
        if message.price <= 0:
            return CSV_VALUE
    return CSV_OK


cdef int row_line(const char* p, const char* end, int64_t* row, int columns, int* column) noexcept nogil:
    cdef int i
    for i in range(columns):
        column[0] = i
        if parse_signed(&p, end, &row[i]) != CSV_OK:
            return CSV_COLUMNS if p == end else CSV_NUMBER
        if i & 1 and row[i] < 0:
            return CSV_VALUE
        if i < columns - 1:
            if p == end or p[0] != c",":
                return CSV_COLUMNS if p == end else CSV_NUMBER
            p += 1
    if p != end:
        return CSV_COLUMNS if p[0] == c"," else CSV_NUMBER
    for i in range(4, columns, 4):
        column[0] = i
        if row[i + 1] and (row[i] <= row[i - 4] or row[i - 3] == 0):
            return CSV_ORDER
        column[0] = i + 2
        if row[i + 3] and (row[i + 2] >= row[i - 2] or row[i - 1] == 0):
            return CSV_ORDER
    return CSV_OK


def decode_messages(bytes block):
    cdef const char* p = block
    cdef const char* end = p + len(block)
    cdef const char* stop = end
    cdef const char* tail
    cdef Py_ssize_t count = 0
    cdef int status = CSV_OK, column = 0
    messages = np.empty(len(block) // 12 + 1, MESSAGE)     # no line is shorter
    cdef lobster_message_t* out = <lobster_message_t*>cnp.PyArray_DATA(<cnp.ndarray>messages)
    with nogil:
        while p < end:
            stop = <const char*>memchr(p, c"\n", end - p)
            if stop == NULL:
                stop = end
            tail = stop - 1 if stop > p and (stop - 1)[0] == c"\r" else stop
            memset(&out[count], 0, sizeof(lobster_message_t))
            status = message_line(p, tail, &out[count], &column)
            if status != CSV_OK:
                break
            count += 1
            p = stop + 1
    fault = None
    if status != CSV_OK:
        line = _shown(p[:stop - p])
        if status == CSV_COLUMNS:
            fault = CsvFault(count + 1, f"message {line}", "six columns: " + ", ".join(_MESSAGE_FIELDS))
        else:
            fault = CsvFault(count + 1, f"{_MESSAGE_FIELDS[column]} in message {line}", _MESSAGE_EXPECTED[column])
    return messages[:count], fault


def decode_rows(bytes block, int levels):
    cdef const char* p = block
    cdef const char* end = p + len(block)
    cdef const char* stop = end
    cdef const char* tail
    cdef Py_ssize_t count = 0
    cdef int status = CSV_OK, column = 0, columns = 4 * levels
    if levels < 1:
        raise ValueError(f"levels is {levels}; expected 1 or more")
    rows = np.empty((len(block) // (2 * columns) + 2, columns), np.int64)
    cdef int64_t* out = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>rows)
    with nogil:
        while p < end:
            stop = <const char*>memchr(p, c"\n", end - p)
            if stop == NULL:
                stop = end
            tail = stop - 1 if stop > p and (stop - 1)[0] == c"\r" else stop
            status = row_line(p, tail, out + count * columns, columns, &column)
            if status != CSV_OK:
                break
            count += 1
            p = stop + 1
    fault = None
    if status != CSV_OK:
        side = "bid" if column & 2 else "ask"
        name = f"{side} {'size' if column & 1 else 'price'} of level {column // 4 + 1}"
        if status == CSV_COLUMNS:
            fault = CsvFault(count + 1, f"row {_shown(p[:stop - p])}", f"{columns} whole numbers, four a level")
        elif status == CSV_NUMBER:
            fault = CsvFault(count + 1, f"{name} in row {_shown(p[:stop - p])}", "a whole number")
        elif status == CSV_VALUE:
            fault = CsvFault(count + 1, f"{name} in row {_shown(p[:stop - p])}", "zero or more")
        else:
            fault = CsvFault(count + 1, f"{name} is out of order", "asks that ascend and bids that descend")
    return rows[:count], fault


def _shown(bytes text):
    """Bytes of a line for a message: printable, in quotes, not long."""
    return "'" + text[:60].decode("utf-8", "replace").encode("ascii", "backslashreplace").decode().rstrip("\r") + "'"
