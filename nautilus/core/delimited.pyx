"""One thread. Delimited text to columns of 64-bit numbers, exactly or not at all; lines that do not fit are named."""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.math cimport isinf
from libc.math cimport pow as power
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport strtod
from libc.string cimport memchr, memcmp, memcpy, memset

cnp.import_array()

SKIP, WHOLE, DECIMAL, FLOAT, TEXT, TIME = range(6)
MISSING = -(1 << 63)
MOST_COLUMNS = <object>MOST_FIELDS
REASONS = {
    FIELD_COUNT: "another number of fields",
    FIELD_EMPTY: "is empty",
    FIELD_NUMBER: "is no number",
    FIELD_FINER: "is finer than the others of its column",
    FIELD_LARGE: "does not fit 64 bits",
    FIELD_CLOCK: "is no time",
    FIELD_QUOTE: "has a quote that does not end",
    FIELD_ENCODING: "is no UTF-8 text",
}
FAULT = np.dtype([("line", "<i8"), ("column", "<i8"), ("reason", "<i8"), ("at", "<i8"), ("length", "<i8")])
PROFILE = np.dtype([
    ("missing", "<i8"), ("whole", "<i8"), ("decimal", "<i8"), ("exponent", "<i8"), ("time", "<i8"), ("zoned", "<i8"),
    ("days", "<i8"), ("dates", "<i8"), ("text", "<i8"), ("first_text", "<i8"), ("decimals", "<i8"),
    ("longest", "<i8"), ("smallest", "<f8"), ("largest", "<f8"),
])
cdef int64_t ABSENT = -(<int64_t>1 << 62) * 2
cdef int64_t DAY = 86400
cdef int64_t EXACT = <int64_t>1 << 53
cdef int64_t LARGEST = <int64_t>9223372036854775807
cdef int64_t LARGEST_TENTH = <int64_t>922337203685477580
cdef int64_t GIGA = 1000000000
cdef int64_t LARGEST_SECONDS = 9223372035
cdef enum:
    MOST_FAULTS = 1024
cdef int64_t TENS[19]
cdef int _i
TENS[0] = 1
for _i in range(1, 19):
    TENS[_i] = TENS[_i - 1] * 10


cdef const char* next_field(const char* p, const char* end, char delimiter, field_t* text) noexcept nogil:
    """The field that begins at `p`, without blanks and quotes; past it (at the delimiter or the end), or NULL."""
    cdef const char* stop
    while p < end and p[0] == c" ":
        p += 1
    if p < end and p[0] == c'"':
        p += 1
        text.at = p
        while True:
            while p < end and p[0] != c'"':
                p += 1
            if p >= end:
                return NULL
            if p + 1 < end and p[1] == c'"':
                p += 2
                continue
            break
        text.end = p
        p += 1
        while p < end and p[0] == c" ":
            p += 1
        return p if p == end or p[0] == delimiter else NULL
    stop = <const char*>memchr(p, delimiter, end - p)
    if stop == NULL:
        stop = end
    text.at = p
    p = stop
    while p > text.at and (p - 1)[0] == c" ":
        p -= 1
    text.end = p
    return stop


cdef int read_number(field_t text, number_t* number) noexcept nogil:
    """A decimal with sign and exponent. Digits of a fraction with which it would not fit are cut, which is noted."""
    cdef const char* p = text.at
    cdef const char* end = text.end
    cdef bint negative = False, point = False, any_digit = False, minus = False, large = False, full = False
    cdef int64_t total = 0
    cdef int decimals = 0, exponent = 0
    memset(number, 0, sizeof(number_t))
    if p < end and (p[0] == c"-" or p[0] == c"+"):
        negative = p[0] == c"-"
        p += 1
    while p < end:
        if digit(p):
            any_digit = True
            if full or total > LARGEST_TENTH or (total == LARGEST_TENTH and p[0] > c"7"):
                if not point:
                    large = True
                elif p[0] != c"0":
                    number.cut = 1
                    number.half |= not full and p[0] >= c"5"
                full = True
            else:
                total = total * 10 + (p[0] - c"0")
                decimals += point
        elif p[0] == c"." and not point:
            point = True
        else:
            break
        p += 1
    if not any_digit:
        return FIELD_NUMBER
    if p < end and (p[0] == c"e" or p[0] == c"E"):
        number.exponent = 1
        p += 1
        if p < end and (p[0] == c"-" or p[0] == c"+"):
            minus = p[0] == c"-"
            p += 1
        if p == end or end - p > 3:
            return FIELD_NUMBER
        while p < end and digit(p):
            exponent = exponent * 10 + (p[0] - c"0")
            p += 1
        decimals += exponent if minus else -exponent
    if p != end:
        return FIELD_NUMBER
    if large:
        return FIELD_LARGE
    if total == 0:
        decimals = 0
    while decimals > 0 and total % 10 == 0 and not number.cut:
        total //= 10
        decimals -= 1
    number.mantissa = -total if negative else total
    number.decimals = decimals
    number.whole = decimals <= 0
    return FIELD_OK


cdef int whole_of(field_t text, int64_t* value) noexcept nogil:
    """A whole number with up to 19 digits."""
    cdef const char* p = text.at
    cdef bint negative = p < text.end and p[0] == c"-"
    cdef uint64_t total = 0
    cdef number_t number
    cdef int status
    p += negative
    if 0 < text.end - p <= 19:
        while p < text.end and digit(p):
            total = total * 10 + <uint64_t>(p[0] - c"0")
            p += 1
        if p == text.end:
            if total > <uint64_t>0x7FFFFFFFFFFFFFFF:
                return FIELD_LARGE
            value[0] = -<int64_t>total if negative else <int64_t>total
            return FIELD_OK
    status = read_number(text, &number)
    return status if status != FIELD_OK else scaled(&number, 0, False, value)


cdef int scaled(number_t* number, int decimals, bint rounded, int64_t* value) noexcept nogil:
    """A number in 10^-decimals. 1: rounded (where that is allowed); else a FIELD_* as a negative number."""
    cdef int shift = decimals - number.decimals
    cdef int64_t part, rest, total = number.mantissa
    if shift >= 0:
        if total == 0:
            value[0] = 0
            return 0
        if shift > 18 or total > LARGEST // TENS[shift] or total < -(LARGEST // TENS[shift]):
            return -FIELD_LARGE
        value[0] = total * TENS[shift]
        if number.cut:
            # What was cut lies right behind: with a digit more the number would not fit.
            if not rounded:
                return -FIELD_FINER
            if shift or (number.half and (total == LARGEST or total == -LARGEST)):
                return -FIELD_LARGE
            if number.half:
                value[0] += 1 if total > 0 else -1
            return 1
        return 0
    if not rounded:
        return -FIELD_FINER
    if shift < -18:
        value[0] = 0
        if shift == -19 and (total >= 5 * TENS[18] or total <= -5 * TENS[18]):
            value[0] = 1 if total > 0 else -1
        return 1
    part = total // TENS[-shift]
    rest = total - part * TENS[-shift]
    if rest < 0:
        rest = -rest
        if rest * 2 >= TENS[-shift]:
            part -= 1
    elif rest >= TENS[-shift] - rest:
        part += 1
    value[0] = part
    return 1


cdef double float_of(field_t text, int* status) noexcept nogil:
    """The nearest float64: exactly rounded, as C does it."""
    cdef char* stop
    cdef number_t number
    cdef double value
    status[0] = read_number(text, &number)
    if status[0] == FIELD_OK and not number.cut and -22 <= number.decimals <= 22 \
            and -EXACT <= number.mantissa <= EXACT:
        # Both are exact, so one operation rounds once.
        if number.decimals >= 0:
            return <double>number.mantissa / power(10.0, number.decimals)
        return <double>number.mantissa * power(10.0, -number.decimals)
    if status[0] == FIELD_NUMBER:
        return 0.0
    # It is a number, so reading ends with it: at the latest at the zero behind every block.
    value = strtod(text.at, &stop)
    status[0] = FIELD_NUMBER if stop != text.end else FIELD_LARGE if isinf(value) else FIELD_OK
    return value


cdef int64_t days_of(int year, int month, int day) noexcept nogil:
    """Days since 1970 of a date of the calendar; after Howard Hinnant's days_from_civil."""
    cdef int64_t y = year - (month <= 2)
    cdef int64_t era = y // 400
    cdef int64_t part = y - era * 400
    cdef int64_t doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + part * 365 + part // 4 - part // 100 + doy - 719468


cdef bint is_date(int year, int month, int day) noexcept nogil:
    cdef int longest = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 1700 <= year <= 2261 and 1 <= month <= 12 and 1 <= day <= longest


cdef int time_of(field_t text, int64_t* value, bint* zoned, bint* date_only) noexcept nogil:
    """`2014-01-02`, `20140102`, `2014/01/02`, with ` 09:30`, `T09:30:00.123`, `Z`, `+01:00`, ` UTC`."""
    cdef const char* p = text.at
    cdef const char* end = text.end
    cdef int year, month, day, hour = 0, minute = 0, second = 0, i
    cdef int64_t nanos = 0, offset = 0, seconds, unit = 100000000
    cdef char mark
    cdef bint negative
    zoned[0] = False
    date_only[0] = True
    if end - p < 8 or two(p) < 0 or two(p + 2) < 0:
        return FIELD_CLOCK
    year = two(p) * 100 + two(p + 2)
    p += 4
    mark = p[0]
    if mark == c"-" or mark == c"/":
        if end - p < 6 or p[3] != mark:
            return FIELD_CLOCK
        month = two(p + 1)
        day = two(p + 4)
        p += 6
    else:
        month = two(p)
        day = two(p + 2)
        p += 4
    if not is_date(year, month, day):
        return FIELD_CLOCK
    if p < end and (p[0] == c" " or p[0] == c"T" or p[0] == c"t"):
        date_only[0] = False
        p += 1
        if end - p < 5 or p[2] != c":":
            return FIELD_CLOCK
        hour = two(p)
        minute = two(p + 3)
        p += 5
        if p < end and p[0] == c":":
            if end - p < 3:
                return FIELD_CLOCK
            second = two(p + 1)
            p += 3
            if p < end and (p[0] == c"." or p[0] == c","):
                p += 1
                if p == end or not digit(p):
                    return FIELD_CLOCK
                while p < end and digit(p):
                    nanos += (p[0] - c"0") * unit
                    unit //= 10
                    p += 1
        if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
            return FIELD_CLOCK
        while p < end and p[0] == c" ":
            p += 1
        if (p < end and (p[0] == c"Z" or p[0] == c"z")) or (end - p == 3 and memcmp(p, b"UTC", 3) == 0):
            zoned[0] = True
            p += 3 if p[0] == c"U" else 1
        elif p < end and (p[0] == c"+" or p[0] == c"-"):
            negative = p[0] == c"-"
            p += 1
            if end - p < 2 or two(p) < 0:
                return FIELD_CLOCK
            offset = two(p) * 3600
            p += 2
            if end - p == 3 and p[0] == c":":
                p += 1
            if end - p >= 2 and two(p) >= 0:
                offset += two(p) * 60
                p += 2
            if negative:
                offset = -offset
            zoned[0] = True
    if p != end:
        return FIELD_CLOCK
    seconds = days_of(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset
    if seconds > LARGEST_SECONDS or seconds < -LARGEST_SECONDS:
        return FIELD_CLOCK
    value[0] = seconds * GIGA + nanos
    return FIELD_OK


@cython.final
cdef class DelimitedBatch:
    def __init__(self, block, values, lines, faults, refused):
        self.block = block
        self.values = values
        self.lines = lines
        self.faults = faults
        self.refused = refused

    def __len__(self):
        return len(self.lines)

    def floats(self, column):
        """A FLOAT column."""
        return self.values[column].view(np.float64)

    def texts(self, column):
        """A TEXT column as a list of str."""
        cdef bytes block = self.block
        seen = {}
        out = []
        for place in self.values[column].tolist():
            at, size = place >> 32, place & 0xFFFFFFFF
            raw = block[at:at + size]
            text = seen.get(raw)
            if text is None:
                text = raw.decode("utf-8", "replace")
                if '""' in text:
                    if block[at - 1:at] == b'"':        # of a quoted field; it may stand elsewhere without quotes
                        text = text.replace('""', '"')
                elif len(seen) < 65536:
                    seen[raw] = text
            out.append(text)
        return out


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class DelimitedDecoder:
    def __init__(self, str delimiter, kinds, decimals=None, optional=None, rounded=None, int64_t lines=0):
        cdef int i
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError(f"delimiter {delimiter!r}; expected one ASCII character")
        if not 1 <= len(kinds) <= MOST_FIELDS:
            raise ValueError(f"{len(kinds)} columns; expected 1 to {MOST_FIELDS}")
        self.delimiter = <char>ord(delimiter)
        self.fields = len(kinds)
        self.lines = lines
        for i in range(self.fields):
            if not 0 <= kinds[i] <= 5:
                raise ValueError(f"kind {kinds[i]} of column {i}; expected 0 to 5")
            self.kinds[i] = kinds[i]
            self.decimals[i] = decimals[i] if decimals is not None else 0
            if not 0 <= self.decimals[i] <= 18:
                raise ValueError(f"{self.decimals[i]} decimals of column {i}; expected 0 to 18")
            self.optional[i] = bool(optional[i]) if optional is not None else False
            self.rounded[i] = bool(rounded[i]) if rounded is not None else False

    def decode(self, bytes block not None):
        """Decode the next whole lines."""
        cdef const char* start = block
        cdef const char* p = start
        cdef const char* end = start + len(block)
        cdef const char* stop
        cdef const char* following = end
        cdef int64_t room = block.count(b"\n") + 1
        cdef int64_t count = 0, fault_count = 0, refused = 0
        cdef int status
        cdef field_t bad
        values = np.empty((self.fields, room), np.int64)
        lines = np.empty(room, np.int64)
        faults = np.zeros(MOST_FAULTS, FAULT)
        cdef int64_t* out = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>values)
        cdef int64_t* out_lines = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>lines)
        cdef int64_t* out_faults = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>faults)
        with nogil:
            while p < end:
                stop = line_end(p, end, &following)
                self.lines += 1
                if stop > p and p[0] == c"#":
                    self.comments += 1
                elif stop > p:
                    self.rows += 1
                    status = self.one(p, stop, start, out + count, room, &bad)
                    if status == FIELD_OK:
                        out_lines[count] = self.lines
                        count += 1
                    else:
                        refused += 1
                        if fault_count < MOST_FAULTS:
                            out_faults[5 * fault_count] = self.lines
                            out_faults[5 * fault_count + 1] = status >> 8
                            out_faults[5 * fault_count + 2] = status & 255
                            out_faults[5 * fault_count + 3] = bad.at - start
                            out_faults[5 * fault_count + 4] = bad.end - bad.at
                            fault_count += 1
                p = following
        return DelimitedBatch(block, values[:, :count], lines[:count], faults[:fault_count], refused)

    cdef int one(
        self, const char* p, const char* end, const char* block, int64_t* out, int64_t stride, field_t* bad
    ) noexcept nogil:
        """One line; FIELD_OK, or 256 * column + why not, with the text that is at fault."""
        cdef int column = 0, kind, status
        cdef field_t text
        cdef number_t number
        cdef int64_t value
        cdef double real
        cdef bint zoned, date_only
        while True:
            bad.at = p
            p = next_field(p, end, self.delimiter, &text)
            if p == NULL:
                bad.end = end
                return column << 8 | FIELD_QUOTE
            bad[0] = text
            if column >= self.fields:
                return column << 8 | FIELD_COUNT
            kind = self.kinds[column]
            if kind == FIELD_TEXT:
                out[column * stride] = (<int64_t>(text.at - block)) << 32 | (text.end - text.at)
            elif kind != FIELD_SKIP:
                if is_missing(text):
                    if not self.optional[column]:
                        return column << 8 | FIELD_EMPTY
                    value = ABSENT
                    if kind == FIELD_FLOAT:
                        real = 0.0
                        real = real / real
                        memcpy(&value, &real, 8)
                elif kind == FIELD_WHOLE:
                    status = whole_of(text, &value)
                    if status != FIELD_OK:
                        return column << 8 | (status if status > 0 else -status)
                elif kind == FIELD_DECIMAL:
                    status = read_number(text, &number)
                    if status != FIELD_OK:
                        return column << 8 | status
                    status = scaled(&number, self.decimals[column], self.rounded[column], &value)
                    if status < 0:
                        return column << 8 | -status
                    self.roundings += status
                elif kind == FIELD_FLOAT:
                    real = float_of(text, &status)
                    if status != FIELD_OK:
                        return column << 8 | status
                    memcpy(&value, &real, 8)
                else:
                    if time_of(text, &value, &zoned, &date_only) != FIELD_OK:
                        return column << 8 | FIELD_CLOCK
                    self.zoned += zoned
                out[column * stride] = value
            column += 1
            if p == end:
                break
            p += 1
        if column != self.fields:
            bad.at = bad.end = end
            return column << 8 | FIELD_COUNT
        return FIELD_OK


@cython.nonecheck(False)
@cython.final
cdef class DelimitedProfiler:
    def __init__(self, str delimiter, int fields, int64_t lines=0):
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
            raise ValueError(f"delimiter {delimiter!r}; expected one ASCII character")
        if not 1 <= fields <= MOST_FIELDS:
            raise ValueError(f"{fields} columns; expected 1 to {MOST_FIELDS}")
        self.delimiter = <char>ord(delimiter)
        self.fields = fields
        self.lines = lines
        self.columns = np.zeros(fields, PROFILE)
        self.columns["smallest"] = np.inf
        self.columns["largest"] = -np.inf

    def add(self, bytes block not None):
        """Look at the next whole lines."""
        cdef const char* p = block
        cdef const char* end = p + len(block)
        cdef const char* stop
        cdef const char* following = end
        cdef profile_t* columns = <profile_t*>cnp.PyArray_DATA(<cnp.ndarray>self.columns)
        with nogil:
            while p < end:
                stop = line_end(p, end, &following)
                self.lines += 1
                if stop > p and p[0] != c"#":
                    self.rows += 1
                    self.one(p, stop, columns)
                p = following

    cdef void one(self, const char* p, const char* end, profile_t* columns) noexcept nogil:
        cdef int column = 0
        cdef const char* q = p
        cdef field_t text
        while True:
            q = next_field(q, end, self.delimiter, &text)
            if q == NULL:
                self.odd += 1
                return
            column += 1
            if q == end:
                break
            q += 1
        if column != self.fields:
            self.odd += 1
            return
        column = 0
        while True:
            p = next_field(p, end, self.delimiter, &text)
            classify(text, &columns[column], self.lines)
            column += 1
            if p == end:
                return
            p += 1


cdef void classify(field_t text, profile_t* column, int64_t line) noexcept nogil:
    cdef number_t number
    cdef int64_t value
    cdef bint zoned, date_only
    cdef double real
    cdef int status
    if is_missing(text):
        column.missing += 1
        return
    if text.end - text.at > column.longest:
        column.longest = text.end - text.at
    status = read_number(text, &number)
    if status != FIELD_NUMBER:
        if status == FIELD_LARGE:
            if whole_of(text, &value) != FIELD_OK:
                column.decimal += 1
                return
            number.mantissa, number.whole = value, 1
        if number.exponent:
            column.exponent += 1
        if number.whole:
            column.whole += 1
            if text.end - text.at == 8 and time_of(text, &value, &zoned, &date_only) == FIELD_OK:
                column.days += 1
        else:
            column.decimal += 1
        if number.cut and column.decimals < 18:
            column.decimals = 18
        if number.decimals > column.decimals:
            column.decimals = number.decimals
        real = <double>number.mantissa * power(10.0, -number.decimals)
        if real < column.smallest:
            column.smallest = real
        if real > column.largest:
            column.largest = real
        return
    if time_of(text, &value, &zoned, &date_only) == FIELD_OK:
        column.time += 1
        column.zoned += zoned
        column.dates += date_only
        return
    column.text += 1
    if column.first_text == 0:
        column.first_text = line
