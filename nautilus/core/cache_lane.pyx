"""One thread at a time, the loop's. What a request costs whose answer a worker has in its memory, and is fresh.

Only that way is here. What is shared, stale or missing, asked for under conditions or over HTTP/2, is left to the classes
that are made of these (`nautilus.gateway.cache`, `nautilus.gateway.cache_door`, `nautilus.gateway.kept`), which ask these
what is kept and whether it is fresh.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from nautilus.core.counters cimport counter_increment
from nautilus.core.http_link cimport ExchangeBase
from nautilus.core.response_cache import MOST_KEY
from nautilus.core.response_cache cimport answers_valid

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    MOST_ASKED = 1024
    SECOND_NS = 1_000_000_000

MOST = MOST_ASKED

cdef Py_ssize_t _MOST_KEY = MOST_KEY


cdef inline char* _put(char* to, bytes text) noexcept:
    memcpy(to, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return to + PyBytes_GET_SIZE(text)


cpdef bytes key_of(str engine, bytes scopes, bytes path):
    cdef Py_ssize_t name_size, size
    cdef const char* name = PyUnicode_AsUTF8AndSize(engine, &name_size)
    cdef bytes key
    cdef char* to
    size = name_size + PyBytes_GET_SIZE(scopes) + PyBytes_GET_SIZE(path) + 2
    if size > _MOST_KEY:
        return None
    key = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(key)
    memcpy(to, name, name_size)
    to[name_size] = c"\n"
    to = _put(to + name_size + 1, scopes)
    to[0] = c"\n"
    _put(to + 1, path)
    return key


cdef class KeptBase:

    cdef bint is_fresh(self, int64_t now_ns) noexcept:
        return now_ns < self.fresh_ns

    cdef bint has_ended(self, int64_t now_ns) noexcept:
        return now_ns >= self.fresh_ns and now_ns >= self.stale_ns and now_ns >= self.error_ns

    def fresh(self, int64_t now_ns):
        return self.is_fresh(now_ns)

    def over(self, int64_t now_ns):
        return self.has_ended(now_ns)

    def head(self, bytes lines not None, int64_t now_ns, bytes how not None, bytes add not None, bint close):
        return self.made(lines, b"", now_ns, how, add, close)

    cdef bytes made(self, bytes lines, bytes body, int64_t now_ns, bytes how, bytes add, bint close):
        cdef char digits[24]
        cdef bytes whole
        cdef char* to
        cdef int64_t lived_ns = now_ns - self.stored_ns, seconds = lived_ns // SECOND_NS if lived_ns > 0 else 0
        cdef Py_ssize_t first = sizeof(digits), aged
        while True:
            first -= 1
            digits[first] = <char>(48 + seconds % 10)
            seconds //= 10
            if not seconds:
                break
        aged = sizeof(digits) - first
        whole = PyBytes_FromStringAndSize(
            NULL,
            PyBytes_GET_SIZE(lines) + PyBytes_GET_SIZE(add) + 5 + aged + 26 + PyBytes_GET_SIZE(how) + (23 if close else 4)
            + PyBytes_GET_SIZE(body),
        )
        to = _put(_put(PyBytes_AS_STRING(whole), lines), add)
        memcpy(to, b"age: ", 5)
        memcpy(to + 5, digits + first, aged)
        to += 5 + aged
        memcpy(to, b"\r\ncache-status: nautilus; ", 26)
        to = _put(to + 26, how)
        if close:
            memcpy(to, b"\r\nconnection: close\r\n\r\n", 23)
            to += 23
        else:
            memcpy(to, b"\r\n\r\n", 4)
            to += 4
        _put(to, body)
        return whole


cdef class CacheBase:

    def _remembered(self, bytes key not None, fields, int64_t now_ns):
        return self.find(key, fields, now_ns)

    cdef KeptBase find(self, bytes key, object fields, int64_t now_ns):
        cdef KeptBase kept = self.look(key, fields, now_ns)
        if kept is not None and kept.is_fresh(now_ns):
            self.was_fresh(key)
        return kept

    cdef int was_fresh(self, bytes key) except -1:
        self._memory.move_to_end(key)
        counter_increment(self._counters.at(self._memory_hits))
        return 0

    cdef KeptBase look(self, bytes key, object fields, int64_t now_ns):
        cdef KeptBase kept = self._memory.get(key)
        if kept is None:
            return None
        if kept.has_ended(now_ns) or not answers_valid(
            self._answers.table, self._answers.known(kept.engine), kept.number, PyBytes_AS_STRING(kept.path),
            <uint32_t>PyBytes_GET_SIZE(kept.path)
        ):
            self._drop(key)
            return None
        if kept.vary and not kept.suits(fields):
            return None
        return kept


cdef class UsageBase:

    def __init__(self):
        self._counts = {}

    def note(self, bytes key not None, str operation not None):
        self.noted((key, operation))

    cdef int noted(self, tuple place) except -1:
        cdef dict counts = self._counts
        counts[place] = counts.get(place, 0) + 1
        if len(counts) > MOST_ASKED:
            self._counts = {each: count // 2 for each, count in counts.items() if count > 1}
        return 0


cdef class DoorBase:

    def __init__(self, frozenset telling not None, bytes how not None):
        self._telling = telling
        self._how = how
        self._scopes = {}

    def gives(self, ExchangeBase exchange not None, str engine not None, str operation not None, bytes path not None,
              bytes answer_lines not None):
        return self.gave(exchange, engine, operation, path, answer_lines)

    cdef bint gave(self, ExchangeBase exchange, str engine, str operation, bytes path, bytes add) except -1:
        cdef CacheBase cache = self.cache
        cdef KeptBase kept
        cdef bytes key
        if exchange.method != "GET" or exchange.http2 or (cache._barren and (engine, operation) in cache._barren):
            return False
        for field in exchange.headers:
            if (<tuple>field)[0] in self._telling:
                return False
        key = key_of(engine, self.scopes_of(exchange._principal.scopes), path)
        if key is None:
            return False
        kept = cache.look(key, exchange.headers, exchange.started_ns)
        if kept is None or not kept.is_fresh(exchange.started_ns):
            return False
        self.count_hit((key, operation))
        self.give_whole(exchange, kept, self._how, add)
        return True

    cdef int count_hit(self, tuple place) except -1:
        """Of key and operation."""
        cdef CacheBase cache = self.cache
        counter_increment(self._counters.at(self._requests))
        counter_increment(cache._counters.at(cache._hits))
        cache.was_fresh(<bytes>place[0])
        return self.usage.noted(place)

    def _give_whole(self, ExchangeBase exchange not None, KeptBase kept not None, bytes how not None, bytes add not None):
        self.give_whole(exchange, kept, how, add)

    cdef int give_whole(self, ExchangeBase exchange, KeptBase kept, bytes how, bytes add) except -1:
        cdef bint keep = exchange.may_keep()
        exchange.raw(kept.made(kept.lines, kept.body, exchange.started_ns, how, add, not keep), keep)
        return exchange.complete()

    def _scope_of(self, scopes):
        return self.scopes_of(scopes)

    cdef bytes scopes_of(self, object scopes):
        cdef bytes found = self._scopes.get(scopes)
        if found is None:
            found = self._scopes[scopes] = ",".join(sorted(scopes)).encode()
        return found
