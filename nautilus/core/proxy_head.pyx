"""One thread at a time. Heads of HTTP/1.1 messages as a proxy sees them.

What is not exactly as RFC 9112 has it is refused, never mended: two readers of one stream that mend it differently are
how a request or an answer is smuggled past one of them.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp, memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* 1: may be in a name (RFC 9110 5.6.2); 2: may be in a value or reason: visible, space, tab, above 127. */
    static uint8_t http_class[256];
    static uint8_t http_lower[256];
    static void http_classes(void)
    {
        const char *marks = "!#$%&'*+-.^_`|~";
        for (int c = 0; c < 256; c++) {
            int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            http_class[c] = (letter || (c && strchr(marks, c)) ? 1 : 0) | (c == 9 || (c >= 32 && c != 127) ? 2 : 0);
            http_lower[c] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        }
    }

    /* Whether `size` bytes are the word, whose letters are lower-case. */
    static inline int http_is(const uint8_t *at, size_t size, const char *word, size_t length)
    {
        if (size != length)
            return 0;
        for (size_t i = 0; i < size; i++)
            if (http_lower[at[i]] != (uint8_t)word[i])
                return 0;
        return 1;
    }

    enum { HTTP_PLAIN, HTTP_HOP, HTTP_CONNECTION, HTTP_LENGTH, HTTP_ENCODING, HTTP_OWN };
    #define HTTP_NAME(word, kind) if (http_is(at, size, word, sizeof(word) - 1)) return kind

    /* What a field of an answer is to a proxy. */
    static int http_answer_field(const uint8_t *at, size_t size)
    {
        switch (http_lower[at[0]]) {
        case 'c':
            HTTP_NAME("content-length", HTTP_LENGTH);
            HTTP_NAME("connection", HTTP_CONNECTION);
            break;
        case 't':
            HTTP_NAME("transfer-encoding", HTTP_ENCODING);
            HTTP_NAME("te", HTTP_HOP);
            HTTP_NAME("trailer", HTTP_HOP);
            break;
        case 'k': HTTP_NAME("keep-alive", HTTP_HOP); break;
        case 'p':
            HTTP_NAME("proxy-connection", HTTP_HOP);
            HTTP_NAME("proxy-authenticate", HTTP_HOP);
            break;
        case 'u': HTTP_NAME("upgrade", HTTP_HOP); break;
        }
        return HTTP_PLAIN;
    }

    /* The same of a request; HTTP_OWN: the proxy says it itself. */
    static int http_request_field(const uint8_t *at, size_t size)
    {
        switch (at[0]) {
        case 'h': HTTP_NAME("host", HTTP_OWN); break;
        case 'a': HTTP_NAME("authorization", HTTP_OWN); break;
        case 'c':
            HTTP_NAME("connection", HTTP_CONNECTION);
            HTTP_NAME("content-length", HTTP_LENGTH);
            break;
        case 'e': HTTP_NAME("expect", HTTP_HOP); break;
        case 'f': HTTP_NAME("forwarded", HTTP_OWN); break;
        case 'k': HTTP_NAME("keep-alive", HTTP_HOP); break;
        case 'n': if (size > 9 && memcmp(at, "nautilus-", 9) == 0) return HTTP_OWN; break;
        case 'o': HTTP_NAME("origin", HTTP_OWN); break;
        case 'p':
            HTTP_NAME("proxy-connection", HTTP_HOP);
            HTTP_NAME("proxy-authorization", HTTP_HOP);
            break;
        case 't':
            HTTP_NAME("te", HTTP_HOP);
            HTTP_NAME("trailer", HTTP_HOP);
            HTTP_NAME("transfer-encoding", HTTP_ENCODING);
            HTTP_NAME("traceparent", HTTP_OWN);
            break;
        case 'u': HTTP_NAME("upgrade", HTTP_HOP); break;
        case 'v': HTTP_NAME("via", HTTP_OWN); break;
        case 'x': if (size > 12 && memcmp(at, "x-forwarded-", 12) == 0) return HTTP_OWN; break;
        }
        return HTTP_PLAIN;
    }

    /* Whether a list of words separated by commas, such as the value of Connection, has the word (lower-case or not). */
    static int http_lists(const uint8_t *list, size_t size, const uint8_t *word, size_t length)
    {
        size_t at = 0;
        while (at < size) {
            while (at < size && (list[at] == ' ' || list[at] == '\\t' || list[at] == ','))
                at++;
            size_t from = at;
            while (at < size && list[at] != ',')
                at++;
            size_t to = at;
            while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\\t'))
                to--;
            if (to - from == length) {
                size_t i = 0;
                while (i < length && http_lower[list[from + i]] == http_lower[word[i]])
                    i++;
                if (i == length)
                    return 1;
            }
        }
        return 0;
    }

    static uint64_t http_random[2];

    /* xorshift128+: names are only to differ. */
    static inline uint64_t http_draw(void)
    {
        uint64_t a = http_random[0], b = http_random[1];
        http_random[0] = b;
        a ^= a << 23;
        http_random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
        return http_random[1] + b;
    }

    static void http_seed(uint64_t a, uint64_t b)
    {
        http_random[0] = a | 1;
        http_random[1] = b;
    }

    static void http_hex(char *to, uint64_t value)
    {
        for (int i = 15; i >= 0; i--, value >>= 4)
            to[i] = "0123456789abcdef"[value & 15];
    }

    static int http_hex_run(const uint8_t *at, size_t size)        /* 0: other digits; 1: zeros alone; 2: hex */
    {
        int zero = 1;
        for (size_t i = 0; i < size; i++) {
            if (!((at[i] >= '0' && at[i] <= '9') || (at[i] >= 'a' && at[i] <= 'f')))
                return 0;
            zero &= at[i] == '0';
        }
        return zero ? 1 : 2;
    }

    /* As W3C Trace Context has it: no version ff, and what is all zero is no id. */
    static int http_is_trace(const uint8_t *at, size_t size)
    {
        return size == 55 && at[2] == '-' && at[35] == '-' && at[52] == '-' && http_hex_run(at, 2)
            && memcmp(at, "ff", 2) != 0 && http_hex_run(at + 3, 32) == 2 && http_hex_run(at + 36, 16) == 2
            && http_hex_run(at + 53, 2);
    }

    static inline char *http_number(char *to, uint64_t value)
    {
        char digits[20];
        int count = 0;
        do
            digits[count++] = (char)('0' + value % 10);
        while (value /= 10);
        while (count)
            *to++ = digits[--count];
        return to;
    }

    /* Microseconds as milliseconds with three places. */
    static inline char *http_milliseconds(char *to, uint64_t us)
    {
        to = http_number(to, us / 1000);
        unsigned part = (unsigned)(us % 1000);
        *to++ = '.';
        *to++ = (char)('0' + part / 100);
        *to++ = (char)('0' + part / 10 % 10);
        *to++ = (char)('0' + part % 10);
        return to;
    }
    """
    const uint8_t* http_class
    const uint8_t* http_lower
    void http_classes() noexcept nogil
    int http_is(const uint8_t* at, size_t size, const char* word, size_t length) noexcept nogil
    int http_answer_field(const uint8_t* at, size_t size) noexcept nogil
    int http_request_field(const uint8_t* at, size_t size) noexcept nogil
    int http_lists(const uint8_t* items, size_t size, const uint8_t* word, size_t length) noexcept nogil
    char* http_number(char* to, unsigned long long value) noexcept nogil
    unsigned long long http_draw() noexcept nogil
    void http_seed(unsigned long long a, unsigned long long b) noexcept nogil
    void http_hex(char* to, unsigned long long value) noexcept nogil
    int http_is_trace(const uint8_t* at, size_t size) noexcept nogil
    char* http_milliseconds(char* to, unsigned long long us) noexcept nogil
    int HTTP_PLAIN, HTTP_HOP, HTTP_CONNECTION, HTTP_LENGTH, HTTP_ENCODING, HTTP_OWN

NO_BODY, LENGTH, CHUNKED = 0, 1, 2
NO_LENGTH, IN_CHUNKS = -1, -2
HEAD_BYTES = 64 << 10
HEAD_FIELDS = 128
ERRORS = {
    -1: "no status line of HTTP/1.1",
    -2: "a field that RFC 9112 does not allow",
    -3: "too large a head",
    -4: "two lengths, or one that is no number",
    -5: "an encoding other than chunked",
    -6: "a length beside chunks, or a body where there is none",
    -7: "neither length nor chunks",
}

cdef enum:
    MOST_FIELDS = 128
    MOST_BYTES = 65536
    MOST_DIGITS = 15
    BAD_START = -1
    BAD_FIELD = -2
    TOO_LARGE = -3
    BAD_LENGTH = -4
    BAD_ENCODING = -5
    BOTH = -6
    NEITHER = -7

http_classes()

cdef struct field_t:
    const uint8_t* at
    Py_ssize_t name, value, value_size, size      # of the name; where the value begins; of it; of the whole line
    int kind


@cython.final
@cython.freelist(64)
cdef class AnswerHead:

    def fields(self):
        cdef list found = []
        for line in self.lines.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                found.append((name.lower(), value.strip(b" \t")))
        return found

    def field(self, bytes name):
        for known, value in self.fields():
            if known == name:
                return value
        return b""


cdef Py_ssize_t field_at(const uint8_t* at, Py_ssize_t left, field_t* field) noexcept nogil:
    """Read one line; its size, 0 where it has not all come, or a code below zero."""
    cdef Py_ssize_t size = 0, end, begin
    while size < left and http_class[at[size]] & 1:
        size += 1
    if size == left:
        return 0
    if size == 0 or at[size] != c":":
        return BAD_FIELD
    begin = size + 1
    while begin < left and (at[begin] == c" " or at[begin] == c"\t"):
        begin += 1
    end = begin
    while end < left and http_class[at[end]] & 2:
        end += 1
    if end == left:
        return 0
    if at[end] != c"\r":
        return BAD_FIELD
    if end + 1 == left:
        return 0
    if at[end + 1] != c"\n":
        return BAD_FIELD
    field.at = at
    field.name = size
    field.value = begin
    field.size = end + 2
    while end > begin and (at[end - 1] == c" " or at[end - 1] == c"\t"):
        end -= 1
    field.value_size = end - begin
    return field.size


cdef int length_of(const field_t* field, int64_t* length) noexcept nogil:
    """Read Content-Length: digits alone."""
    cdef const uint8_t* at = field.at + field.value
    cdef int64_t value = 0
    cdef Py_ssize_t i
    if field.value_size < 1 or field.value_size > MOST_DIGITS:
        return BAD_LENGTH
    for i in range(field.value_size):
        if at[i] < c"0" or at[i] > c"9":
            return BAD_LENGTH
        value = value * 10 + (at[i] - c"0")
    length[0] = value
    return 0


cpdef read_answer(bytes data, bint head_only=False, drop=()):
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t left = PyBytes_GET_SIZE(data), at, read, most = left, size, kept
    cdef field_t fields[MOST_FIELDS]
    cdef field_t* field
    cdef int count = 0, i, j, status, connections = 0, code
    cdef int64_t length = -1
    cdef bint chunked = False, keep, old
    cdef AnswerHead head
    cdef char* to
    if most > MOST_BYTES:
        most = MOST_BYTES
    # "HTTP/1.1 200 reason"
    at = 13 if left > 13 else left
    if memcmp(start, b"HTTP/1.", at if at < 7 else 7) != 0:
        return BAD_START
    if left < 13:
        return None
    if (start[7] != c"1" and start[7] != c"0") or start[8] != c" " or start[12] != c" ":
        return BAD_START
    old = start[7] == c"0"
    for i in range(9, 12):
        if start[i] < c"0" or start[i] > c"9":
            return BAD_START
    status = (start[9] - c"0") * 100 + (start[10] - c"0") * 10 + (start[11] - c"0")
    if status < 100 or status > 599:
        return BAD_START
    while at < most and http_class[start[at]] & 2:
        at += 1
    if at + 1 >= most:
        return TOO_LARGE if left >= MOST_BYTES else (None if at >= most or start[at] == c"\r" else BAD_START)
    if start[at] != c"\r" or start[at + 1] != c"\n":
        return BAD_START
    at += 2
    kept = at
    while True:
        if at >= most:
            return TOO_LARGE if left >= MOST_BYTES else None
        if start[at] == c"\r":
            if at + 1 >= most:
                return TOO_LARGE if left >= MOST_BYTES else None
            if start[at + 1] != c"\n":
                return BAD_FIELD
            at += 2
            break
        if count == MOST_FIELDS:
            return TOO_LARGE
        field = &fields[count]
        read = field_at(start + at, most - at, field)
        if read <= 0:
            if read:
                return read
            return TOO_LARGE if left >= MOST_BYTES else None
        at += read
        field.kind = http_answer_field(field.at, field.name)
        if field.kind == HTTP_LENGTH:
            if length >= 0:
                return BAD_LENGTH
            code = length_of(field, &length)
            if code:
                return code
        elif field.kind == HTTP_ENCODING:
            if chunked or old or not http_is(field.at + field.value, field.value_size, b"chunked", 7):
                return BAD_ENCODING
            chunked = True
        elif field.kind == HTTP_CONNECTION:
            connections += 1
        count += 1
    if chunked and length >= 0:
        return BOTH
    keep = not old
    if connections:
        for i in range(count):
            field = &fields[i]
            if field.kind != HTTP_CONNECTION:
                continue
            if http_lists(field.at + field.value, field.value_size, <const uint8_t*>b"close", 5):
                keep = False
            elif old and http_lists(field.at + field.value, field.value_size, <const uint8_t*>b"keep-alive", 10):
                keep = True
            for j in range(count):
                # Nobody can strike out what frames the message.
                if fields[j].kind == HTTP_PLAIN and http_lists(
                    field.at + field.value, field.value_size, fields[j].at, fields[j].name
                ):
                    fields[j].kind = HTTP_HOP
    if drop:
        for name in drop:
            for i in range(count):
                if fields[i].kind == HTTP_PLAIN and http_is(
                    fields[i].at, fields[i].name, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
                ):
                    fields[i].kind = HTTP_OWN
    head = AnswerHead.__new__(AnswerHead)
    head.status = status
    head.size = at
    head.keep_alive = keep
    head.length = 0
    if status < 200 or status == 204:
        if chunked or length > 0:
            return BOTH
        head.body = 0
    elif head_only or status == 304:
        head.body = 0
    elif chunked:
        head.body = 2
    elif length >= 0:
        head.body = 1
        head.length = length
    else:
        return NEITHER
    size = kept
    for i in range(count):
        field = &fields[i]
        if field.kind == HTTP_PLAIN or (field.kind == HTTP_LENGTH and status >= 200 and status != 204):
            size += field.size
            field.kind = HTTP_PLAIN
    head.lines = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(head.lines)
    memcpy(to, start, kept)
    to[7] = c"1"
    to += kept
    for i in range(count):
        if fields[i].kind == HTTP_PLAIN:
            memcpy(to, fields[i].at, fields[i].size)
            to += fields[i].size
    return head


cpdef bytes client_head(AnswerHead head, bytes add, int64_t own_us, int64_t upstream_us, bint close):
    cdef char timing[96]
    cdef char* to = timing
    cdef Py_ssize_t lines = PyBytes_GET_SIZE(head.lines), added = PyBytes_GET_SIZE(add), timed = 0
    cdef bytes whole
    if own_us >= 0 and upstream_us >= 0:
        memcpy(to, b"server-timing: gateway;dur=", 27)
        to = http_milliseconds(to + 27, own_us)
        memcpy(to, b", upstream;dur=", 15)
        to = http_milliseconds(to + 15, upstream_us)
        to[0] = c"\r"
        to[1] = c"\n"
        timed = to + 2 - timing
    whole = PyBytes_FromStringAndSize(NULL, lines + added + timed + (19 if close else 0) + 2)
    to = PyBytes_AS_STRING(whole)
    memcpy(to, PyBytes_AS_STRING(head.lines), lines)
    memcpy(to + lines, PyBytes_AS_STRING(add), added)
    to += lines + added
    memcpy(to, timing, timed)
    to += timed
    if close:
        memcpy(to, b"connection: close\r\n", 19)
        to += 19
    to[0] = c"\r"
    to[1] = c"\n"
    return whole


cpdef bytes upstream_head(bytes start, list fields, bytes add, int64_t length, drop=(), bint upgrade=False):
    # Upgrade, or the length, and the empty line take less than 128 bytes.
    cdef Py_ssize_t size = PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(add) + 128, name_size, value_size
    cdef const uint8_t* name_at
    cdef bytes name, value, connection = None, whole
    cdef tuple field
    cdef char* to
    for field in fields:
        name = field[0]
        value = field[1]
        name_size = PyBytes_GET_SIZE(name)
        size += name_size + PyBytes_GET_SIZE(value) + 4
        if name_size == 10 and memcmp(PyBytes_AS_STRING(name), b"connection", 10) == 0:
            connection = value if connection is None else connection + b"," + value
    whole = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(whole)
    memcpy(to, PyBytes_AS_STRING(start), PyBytes_GET_SIZE(start))
    to += PyBytes_GET_SIZE(start)
    for field in fields:
        name = field[0]
        name_size = PyBytes_GET_SIZE(name)
        name_at = <const uint8_t*>PyBytes_AS_STRING(name)
        if name_size == 0 or http_request_field(name_at, name_size) != HTTP_PLAIN or (drop and name in drop):
            continue
        if connection is not None and http_lists(
            <const uint8_t*>PyBytes_AS_STRING(connection), PyBytes_GET_SIZE(connection), name_at, name_size
        ):
            continue
        value = field[1]
        value_size = PyBytes_GET_SIZE(value)
        memcpy(to, name_at, name_size)
        to += name_size
        to[0] = c":"
        to[1] = c" "
        memcpy(to + 2, PyBytes_AS_STRING(value), value_size)
        to += 2 + value_size
        to[0] = c"\r"
        to[1] = c"\n"
        to += 2
    memcpy(to, PyBytes_AS_STRING(add), PyBytes_GET_SIZE(add))
    to += PyBytes_GET_SIZE(add)
    if length >= 0:
        memcpy(to, b"content-length: ", 16)
        to = http_number(to + 16, length)
        to[0] = c"\r"
        to[1] = c"\n"
        to += 2
    elif length == -2:
        memcpy(to, b"transfer-encoding: chunked\r\n", 28)
        to += 28
    if upgrade:
        memcpy(to, b"connection: upgrade\r\nupgrade: websocket\r\n", 41)
        to += 41
    to[0] = c"\r"
    to[1] = c"\n"
    return whole[:to + 2 - PyBytes_AS_STRING(whole)]


def seed_traces():
    """Begin anew with what the system calls random: in every new process."""
    drawn = os.urandom(16)
    http_seed(int.from_bytes(drawn[:8], "little"), int.from_bytes(drawn[8:], "little"))


seed_traces()
os.register_at_fork(after_in_child=seed_traces)


cpdef bytes new_trace():
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 55)
    cdef char* to = PyBytes_AS_STRING(made)
    memcpy(to, b"00-", 3)
    http_hex(to + 3, http_draw())
    http_hex(to + 19, http_draw() | 1)
    to[35] = c"-"
    http_hex(to + 36, http_draw() | 1)
    memcpy(to + 52, b"-01", 3)
    return made


cpdef tuple shown_by(list fields):
    cdef bytes name, host = None, shown = None
    cdef tuple field
    cdef Py_ssize_t size
    cdef const char* at
    for field in fields:
        name = field[0]
        size = PyBytes_GET_SIZE(name)
        at = PyBytes_AS_STRING(name)
        if size == 4 and memcmp(at, b"host", 4) == 0:
            if host is not None:
                return None
            host = field[1]
        elif size == 13 and memcmp(at, b"authorization", 13) == 0:
            if shown is not None:
                return None
            shown = field[1]
        elif size == 17 and memcmp(at, b"nautilus-priority", 17) == 0:
            continue
        elif size > 9 and memcmp(at, b"nautilus-", 9) == 0:
            return None
        elif (size == 17 and memcmp(at, b"transfer-encoding", 17) == 0) or (size == 7 and memcmp(at, b"upgrade", 7) == 0):
            return None   # of an upgrade the origin counts, too
    return None if host is None else (host, shown)


cpdef tuple request_facts(list fields):
    cdef bytes name, value, trace = None, host = b"", priority = b""
    cdef const char* at
    cdef int64_t length = -1
    cdef bint upgrade = False
    cdef tuple field
    cdef Py_ssize_t size
    for field in fields:
        name = field[0]
        size = PyBytes_GET_SIZE(name)
        at = PyBytes_AS_STRING(name)
        if size == 4 and memcmp(at, b"host", 4) == 0:
            host = field[1]
        elif size == 11 and memcmp(at, b"traceparent", 11) == 0:
            value = field[1]
            trace = value if http_is_trace(
                <const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
            ) and trace is None else b""
        elif size == 14 and memcmp(at, b"content-length", 14) == 0:
            length = int(field[1])
        elif size == 17:
            if memcmp(at, b"transfer-encoding", 17) == 0:
                length = -2
            elif memcmp(at, b"nautilus-priority", 17) == 0:
                priority = field[1]
        elif size == 7 and memcmp(at, b"upgrade", 7) == 0:
            value = field[1]
            upgrade = http_is(<const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), b"websocket", 9)
    return length, trace or b"", host, priority, upgrade
