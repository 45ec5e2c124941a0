"""One thread at a time, the loop's. Requests whose bytes have come before, answered from memory without an exchange.

The head of a request says all of it where there is no body: what is the same to the byte is the same request, to the
same operation, by who shows the same words. So what the ordinary way (`nautilus.core.proxy_call`) has found out about it is
kept by the head itself, and only what may have changed is asked again: the cache, the access rules, whether the port
is about to end. Whatever is not as before goes the ordinary way, of which nothing has happened then.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t

from nautilus.core.cache_lane cimport CacheBase, DoorBase, KeptBase, key_of
from nautilus.core.counters cimport Counters, counter_increment
from nautilus.core.http_access cimport RulesAccessBase
from nautilus.core.http_head import KEEP_ALIVE
from nautilus.core.http_link cimport ConnectionBase, ExchangeBase, LaneBase, monotonic_ns, wall_ns
from nautilus.core.proxy_head cimport shown_by

cdef enum:
    MOST_HEADS = 1024
    MOST_BYTES = 2048

HEADS = MOST_HEADS
HEAD_BYTES = MOST_BYTES

cdef int _KEEP_ALIVE = KEEP_ALIVE


cdef class Known:
    pass


cdef class HitLane(LaneBase):

    def __init__(self, Counters counters not None, uint32_t requests, RulesAccessBase access, refuses):
        self._counters = counters
        self._requests = requests
        self._access = None if access is None else access._rules
        self._refuses = refuses
        self._known = {}

    def __len__(self):
        return len(self._known)

    cdef int offer(self, ExchangeBase exchange, DoorBase door, str engine, str operation, str scope, bytes path,
                   bytes answer_lines, uint32_t requests) except -1:
        # Answered from memory on the ordinary way, without a body, a trace or a priority of its own.
        cdef Known known
        cdef tuple shown, place
        cdef object entry
        if self._access is None or exchange._flags != _KEEP_ALIVE or not exchange.keep_alive or exchange.secured():
            return 0
        shown = shown_by(exchange.headers)
        if shown is None:
            return 0
        place = (shown, scope, False)
        entry = self._access._known.get(place)
        if entry is None or entry[0].principal is not exchange._principal:
            return 0
        known = Known.__new__(Known)
        known.door = door
        known.key = key_of(engine, door.scopes_of(exchange._principal.scopes), path)
        known.target = exchange.target
        known.headers = exchange.headers
        known.answer_lines = answer_lines
        known.place = (known.key, operation)
        known.kind = (engine, operation)
        known.access_place = place
        known.entry = entry
        known.requests = requests
        self._found = known
        self.offered = exchange
        return 0

    cdef int remember(self, bytes data, Py_ssize_t end) except -1:
        # Heads of which each is another one, by an id say, would only drive out those that come again.
        cdef bytes head = data[:end] if end < PyBytes_GET_SIZE(data) else data
        cdef Known known = self._found
        cdef Py_hash_t number
        self.offered = self._found = None
        if PyBytes_GET_SIZE(head) > MOST_BYTES:
            return 0
        number = hash(head)
        if self._seen[number & (SEEN - 1)] != number:
            self._seen[number & (SEEN - 1)] = number
            return 0
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[head] = known
        return 0

    cdef bint answer(self, ConnectionBase connection, bytes data) except -1:
        cdef Known known
        cdef CacheBase cache
        cdef KeptBase kept
        cdef int64_t now_ns
        if PyBytes_GET_SIZE(data) > MOST_BYTES:
            return False
        known = self._known.get(data)
        if known is None or (self.app is not None and self.app.stopping):
            return False
        cache = known.door.cache
        if cache._barren and known.kind in cache._barren:
            return False
        now_ns = monotonic_ns()
        kept = cache.look(known.key, known.headers, now_ns)
        if kept is None or not kept.is_fresh(now_ns):
            return False
        try:
            if self._access._known.get(known.access_place) is not known.entry or (
                self._access.again(<tuple>known.entry, wall_ns()) is None
            ):
                del self._known[data]
                return False
        except self._refuses as error:
            self.count(known)
            connection.refuse("GET", known.target, known.headers, now_ns, error)
            return True
        self.count(known)
        known.door.count_hit(known.place)
        connection.gave(kept.made(kept.lines, kept.body, now_ns, known.door._how, known.answer_lines, False), now_ns)
        return True

    cdef int count(self, Known known) except -1:
        counter_increment(self._counters.at(known.requests))
        counter_increment(self._counters.at(self._requests))
        return 0
