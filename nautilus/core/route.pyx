"""Python face of the table of routes; its operations are inline in route_choice.pxd."""

import errno as codes
import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strncmp
from posix.unistd cimport getpid

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.region cimport process_start, region_attach, region_create, region_detach, region_yield
from nautilus.core.route_choice cimport *
from nautilus.core.route_table cimport *

DIRECT = FLAG_DIRECT
GATEWAY = FLAG_GATEWAY
IDEMPOTENT = FLAG_IDEMPOTENT
PREFER_DIRECT = FLAG_PREFER_DIRECT
ROUND_ROBIN = FLAG_ROUND_ROBIN
LEAST_CONNECTIONS = FLAG_LEAST

ROUTE_DIRECT = 0
ROUTE_GATEWAY = 1

UNKNOWN = HEALTH_UNKNOWN
HEALTHY = HEALTH_HEALTHY
DEGRADED = HEALTH_DEGRADED
UNHEALTHY = HEALTH_UNHEALTHY
EJECTED = HEALTH_EJECTED

NO_TARGET = -1
REASONS = (
    "none", "direct only", "gateway only", "only route", "preference", "latency", "failures", "trial",
)
PICKS = ("only instance", "round robin", "least connections", "peak ewma")

TARGET_MASK = 0x7FF
DIRECT_SHIFT = 11
REASON_SHIFT = 12
PICK_SHIFT = 16
PANIC_SHIFT = 18
SPILL_SHIFT = 19
CONFIDENCE_SHIFT = 20
LATENCY_SHIFT = 27

cdef int64_t LOCK_NS = 1_000_000_000


cdef class Routes:
    """Any thread of any process. The ways to the engines, how each does, and which to take.

    A decision is one integer (`NO_TARGET`: the group has no target on the routes asked for): target (`TARGET_MASK`),
    1 bit direct, 4 bits reason (index of `REASONS`), 2 bits how the instance was picked (`PICKS`), 1 bit panic, 1 bit
    not of the own region, 7 bits confidence in percent, 36 bits expected latency in nanoseconds (the longest: 68 s).

    Parameters
    ----------
    capacity : int
        Targets, 1 to 2,048; a kibibyte each. A file that exists keeps its own.
    path : str or PathLike, optional
        File to share the table through; made for this user alone where there is none. Without it the table lies in
        this process's memory.
    region : str
        The own region: its instances come first. "": none.
    half_life_ns : int
        In which what was learned loses half of its weight. A file that exists keeps its own.
    seed : int
        Of the chances this object takes; two with one seed take the same.

    Raises
    ------
    ValueError
        A capacity or half-life out of range, or the file is no table of this layout.
    OSError
        The file can be neither opened nor made, or 32 living processes use it.
    """

    def __cinit__(
        self,
        uint32_t capacity=512,
        path=None,
        *,
        str region not None="",
        int64_t half_life_ns=10_000_000_000,
        uint64_t seed=0,
    ):
        if not 1 <= capacity <= ROUTE_MOST:
            raise ValueError(f"Routes: capacity {capacity}, expected 1 to {ROUTE_MOST}")
        if not 1_000_000 <= half_life_ns <= 1 << 42:
            raise ValueError(f"Routes: half_life_ns {half_life_ns}, expected 1 ms to an hour")
        self._places = {}
        self._region = region
        self.view.region_hash = _hash(_text(region, 24, "region", True))
        self.open(path, capacity, half_life_ns)
        self.enter()
        self.view.chance = (seed or <uint64_t>getpid()) * 0x9E3779B97F4A7C15ULL | 1

    def __dealloc__(self):
        cdef uint32_t i
        if self.view.table is NULL:
            return
        if self.entered and self.view.table.holder[self.view.holder].pid == getpid():
            for i in range(route_seen(&self.view.table.targets)):
                self.view.targets[i].in_flight[self.view.holder] = 0
            self.view.table.holder[self.view.holder].pid = 0
        if self.shared:
            region_detach(&self.view.table.region)
        else:
            unmap_region(self.view.table, self.bytes)

    # Names

    def instance(self, str engine not None, str name not None, str region not None=""):
        """Number of an instance of an engine, made where there is none; its region is that of the last call.

        Raises
        ------
        ValueError
            A name that is empty or too long, or the table is full.
        """
        cdef bytes first = _text(engine, 32, "engine"), second = _text(name, 48, "instance")
        cdef bytes third = _text(region, 24, "region", True)
        cdef uint32_t i, most = self.view.table.capacity
        cdef route_instance_t* found
        self.take_lock()
        try:
            for i in range(self.view.table.instances):
                found = self.view.instances + i
                if strncmp(found.engine, first, 32) == 0 and strncmp(found.name, second, 48) == 0:
                    break
            else:
                if self.view.table.instances == most:
                    raise ValueError(f"Routes: no room for instance {name!r} of {engine!r}, all {most} are in use")
                i = self.view.table.instances
                found = self.view.instances + i
                memset(found, 0, sizeof(route_instance_t))
                memcpy(found.engine, <const char*>first, len(first))
                memcpy(found.name, <const char*>second, len(second))
                route_publish(&self.view.table.instances, i + 1)
            if third:
                memset(found.region, 0, 24)
                memcpy(found.region, <const char*>third, len(third))
                route_put_word(&found.region_hash, _hash(third))
            return i
        finally:
            route_unlock(&self.view.table.lock)

    def group(self, str engine not None, str endpoint_class not None=""):
        """Number of a class of an engine's endpoints, which is made where there is none. Raises as `instance` does."""
        cdef bytes first = _text(engine, 32, "engine"), second = _text(endpoint_class, 48, "endpoint class", True)
        cdef uint32_t i, most = self.view.table.capacity
        cdef route_group_t* found
        self.take_lock()
        try:
            for i in range(self.view.table.groups):
                found = self.view.groups + i
                if strncmp(found.engine, first, 32) == 0 and strncmp(found.endpoint_class, second, 48) == 0:
                    return i
            if self.view.table.groups == most:
                raise ValueError(f"Routes: no room for group {engine!r} {endpoint_class!r}, all {most} are in use")
            i = self.view.table.groups
            found = self.view.groups + i
            memset(found, 0, sizeof(route_group_t))
            memcpy(found.engine, <const char*>first, len(first))
            memcpy(found.endpoint_class, <const char*>second, len(second))
            found.until_trial = TRIAL_UNKNOWN
            route_publish(&self.view.table.groups, i + 1)
            return i
        finally:
            route_unlock(&self.view.table.lock)

    def target(self, str engine not None, str endpoint_class not None, str instance not None, uint32_t route):
        """Number of the way to an instance for a class of endpoints; all of it is made where missing.

        `route` is `ROUTE_DIRECT` or `ROUTE_GATEWAY`. Raises as `instance` does, and where the group has 16 instances.
        """
        key = engine, endpoint_class, instance, route
        held = self._places.get(key)
        if held is not None:
            return held
        if route > 1:
            raise ValueError(f"Routes: route {route}, expected 0 (direct) or 1 (gateway)")
        cdef uint32_t group = self.group(engine, endpoint_class)
        cdef uint32_t whose = self.instance(engine, instance)
        cdef uint32_t i, count, number
        cdef route_group_t* g = self.view.groups + group
        cdef route_target_t* made
        self.take_lock()
        try:
            count = g.counts[route]
            for i in range(count):
                number = g.members[route][i]
                if self.view.targets[number].instance == whose:
                    break
            else:
                number = self.view.table.targets
                if number == self.view.table.capacity:
                    raise ValueError(f"Routes: no room for target {key}, all {number} are in use")
                if count == ROUTE_MEMBERS:
                    raise ValueError(f"Routes: {key} is one instance too many, at most {ROUTE_MEMBERS} of a group")
                made = self.view.targets + number
                memset(made, 0, sizeof(route_target_t))
                made.group, made.instance, made.route = group, whose, route
                g.members[route][count] = number
                route_publish(&self.view.table.targets, number + 1)
                route_publish(&g.counts[route], count + 1)
        finally:
            route_unlock(&self.view.table.lock)
        self._places[key] = number
        return number

    # What is decided

    def decide(self, uint32_t group, int64_t now_ns, uint32_t flags=0):
        """The way to take now: one integer, as the class says; `NO_TARGET` where there is none.

        Parameters
        ----------
        group : int
            From `group`.
        now_ns : int
            The clock of `record`; any that only goes forward and is one for all processes.
        flags : int
            `DIRECT` or `GATEWAY`: that route; else the better one. `IDEMPOTENT`: the request may be used to try the
            other route. `PREFER_DIRECT`: where nothing is known. `ROUND_ROBIN` or `LEAST_CONNECTIONS` between
            instances; else P2C over the peak EWMA.

        Raises
        ------
        ValueError
            No such group.
        """
        if group >= self.view.table.groups:
            raise ValueError(f"Routes.decide: group {group}, expected less than {self.view.table.groups}")
        return route_choose(&self.view, group, now_ns, flags)

    def begin(self, uint32_t target):
        """A request is under way to this target."""
        route_step(&self.target_at(target).in_flight[self.view.holder], 1)

    def end(self, uint32_t target):
        """It is not any more."""
        cdef int32_t* cell = &self.target_at(target).in_flight[self.view.holder]
        if route_locked_by(cell) > 0:
            route_step(cell, -1)

    def record(self, uint32_t target, int64_t latency_ns, bint ok, int64_t now_ns):
        """How a request to this target went: how long it took, whether it failed, and when that was known.

        A failure that was quicker than what is expected says nothing about latency and is counted as a failure alone.
        """
        route_learn(&self.view, self.target_at(target), latency_ns, ok, now_ns)

    def set_health(self, uint32_t instance, uint32_t state, int64_t now_ns=0):
        """Set the health of an instance; one that comes back at `now_ns` (0: at once) takes its share within 10 s."""
        cdef route_instance_t* found
        cdef uint32_t before
        if instance >= self.view.table.instances:
            raise ValueError(f"Routes.set_health: instance {instance}, expected less than {self.view.table.instances}")
        if state > HEALTH_EJECTED:
            raise ValueError(f"Routes.set_health: state {state}, expected 0 to {HEALTH_EJECTED}")
        found = self.view.instances + instance
        before = route_get_word(&found.health)
        if before >= HEALTH_UNHEALTHY > state:
            route_put(&found.since_ns, now_ns)
        route_put_word(&found.health, state)

    def sweep(self):
        """Take back what dead processes had in flight; how many requests that were."""
        cdef uint32_t number, i
        cdef int64_t found = 0
        cdef route_holder_t* holder
        self.take_lock()
        try:
            for number in range(self.view.table.holders):
                holder = self.view.table.holder + number
                if holder.pid and process_start(holder.pid) != holder.start:
                    for i in range(self.view.table.targets):
                        found += self.view.targets[i].in_flight[number]
                        self.view.targets[i].in_flight[number] = 0
                    holder.pid = 0
            return found
        finally:
            route_unlock(&self.view.table.lock)

    def forget(self, uint32_t target):
        """Forget what was learned of a target: another process answers there now. Requests in flight stay."""
        cdef route_target_t* t = self.target_at(target)
        if not route_lock_target(&self.view, t):
            route_turn(&t.contended)
            return
        route_put_word(&t.samples, 0)
        t.surprise = t.trial = 0
        t.running_failures = 0
        t.confidence = t.failure_share = 0
        t.weight = t.ok_weight = t.failed_weight = t.since_quantiles = 0
        route_put(&t.expected_ns, 0)
        route_put(&t.deviation_ns, 0)
        route_put(&t.peak_ns, 0)
        t.p50_ns = t.p95_ns = t.p99_ns = t.epoch_ns = 0
        memset(t.buckets, 0, ROUTE_BUCKETS * sizeof(uint32_t))
        route_unlock(&t.lock)

    # What is known

    def read(self, uint32_t target):
        """All that is known of a target, as plain values; times in nanoseconds, shares 0 to 1."""
        cdef route_target_t* t = self.target_at(target)
        cdef route_instance_t* i = self.view.instances + t.instance
        cdef route_group_t* g = self.view.groups + t.group
        cdef bint locked = route_lock_target(&self.view, t)
        try:
            return {
                "engine": _shown(g.engine, 32),
                "endpoint_class": _shown(g.endpoint_class, 48),
                "instance": _shown(i.name, 48),
                "region": _shown(i.region, 24),
                "route": "gateway" if t.route else "direct",
                "health": route_get_word(&i.health),
                "samples": t.samples,
                "expected_ns": t.expected_ns,
                "deviation_ns": t.deviation_ns,
                "peak_ns": t.peak_ns,
                "p50_ns": route_quantile(t, 500),
                "p95_ns": route_quantile(t, 950),
                "p99_ns": route_quantile(t, 990),
                "in_flight": route_in_flight(t.in_flight, self.view.table.holders),
                "weight": t.weight / <double>WEIGHT,
                "failure_share": t.failure_share / 1024.0,
                "confidence": t.confidence / 100.0,
                "requests": t.total,
                "failures": t.failed,
                "contended": t.contended,
            }
        finally:
            if locked:
                route_unlock(&t.lock)

    def traffic(self, uint32_t instance):
        """What all processes sent to an instance, on all routes and for all classes of endpoints.

        Returns
        -------
        tuple
            Requests that ended and failures among them since the table was made, failures running and p95 latency in
            nanoseconds (of the target with most of it), requests in flight.
        """
        cdef uint64_t requests = 0, failures = 0
        cdef uint32_t running = 0, i
        cdef int64_t p95_ns = 0, flying = 0
        cdef route_target_t* t
        for i in range(route_seen(&self.view.table.targets)):
            t = self.view.targets + i
            if t.instance == instance:
                requests += route_counted(&t.total)
                failures += route_counted(&t.failed)
                running = max(running, route_get_word(&t.running_failures))
                p95_ns = max(p95_ns, route_get(&t.p95_ns))
                flying += route_in_flight(t.in_flight, self.view.table.holders)
        return requests, failures, running, p95_ns, flying

    def quantiles(self, uint32_t target):
        """(p50, p95, p99) in nanoseconds, at most 15 samples old; zeros where there were none."""
        cdef route_target_t* t = self.target_at(target)
        return route_get(&t.p50_ns), route_get(&t.p95_ns), route_get(&t.p99_ns)

    def count(self, uint32_t strategy):
        """A decision was made by this strategy, 0 to 7."""
        route_count(&self.tally_at(strategy).decisions, 1)

    def tally(self, uint32_t strategy, int64_t latency_ns, bint ok):
        """How a request went that this strategy, 0 to 7, had decided."""
        route_tally(self.tally_at(strategy), latency_ns, ok)

    def tallies(self, uint32_t strategy):
        """What all processes counted of a strategy since the table was made.

        Returns
        -------
        tuple
            Decisions, requests, those that succeeded, and their latency in nanoseconds: mean, p95, p99.
        """
        cdef route_tally_t* found = self.tally_at(strategy)
        cdef uint64_t requests = route_counted(&found.requests)
        return (
            route_counted(&found.decisions),
            requests,
            route_counted(&found.succeeded),
            route_counted(&found.sum_ns) // max(requests, <uint64_t>1),
            _quantile(found, 950),
            _quantile(found, 990),
        )

    def members(self, uint32_t group):
        """Targets of a group: (those of the direct route, those of the gateway's)."""
        if group >= self.view.table.groups:
            raise ValueError(f"Routes.members: group {group}, expected less than {self.view.table.groups}")
        cdef route_group_t* g = self.view.groups + group
        return tuple([g.members[route][i] for i in range(route_seen(&g.counts[route]))] for route in range(2))

    def health(self, uint32_t instance):
        """Health of an instance, as `set_health` set it."""
        if instance >= self.view.table.instances:
            raise ValueError(f"Routes.health: instance {instance}, expected less than {self.view.table.instances}")
        return route_get_word(&self.view.instances[instance].health)

    def __len__(self):
        return route_seen(&self.view.table.targets)

    @property
    def capacity(self):
        """Targets that fit."""
        return self.view.table.capacity

    @property
    def region(self):
        """The own region; "": none."""
        return self._region

    # Inside

    cdef route_target_t* target_at(self, uint32_t target) except NULL:
        if target >= self.view.table.targets:
            raise ValueError(f"Routes: target {target}, expected less than {self.view.table.targets}")
        return self.view.targets + target

    cdef route_tally_t* tally_at(self, uint32_t strategy) except NULL:
        if strategy >= ROUTE_TALLIES:
            raise ValueError(f"Routes: strategy {strategy}, expected less than {ROUTE_TALLIES}")
        return self.view.table.tallies + strategy

    cdef int open(self, object path, uint32_t capacity, int64_t half_life_ns) except -1:
        cdef bytes name
        cdef size_t size = _size(capacity)
        cdef int guard
        if path is None:
            self.view.table = <route_table_t*>map_region(size, False)
            if self.view.table is NULL:
                raise MemoryError(f"Routes: no memory for {capacity} targets")
            self.bytes = size
            self.view.table.capacity, self.view.table.half_life_ns = capacity, half_life_ns
        else:
            text = os.fspath(path)
            name = text.encode()
            # Two that come at once must not make two tables.
            guard = os.open(f"{text}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(guard, fcntl.LOCK_EX)
                self.view.table = <route_table_t*>region_attach(name, ROUTE_KIND, ROUTE_LAYOUT)
                if self.view.table is NULL and errno == codes.ENOENT:
                    self.view.table = <route_table_t*>region_create(name, size, ROUTE_KIND, ROUTE_LAYOUT, 0)
                if self.view.table is NULL:
                    raise _refusal(text, errno)
                # A new one, whoever made it: that one may have been killed at once.
                if self.view.table.capacity == 0 and self.view.table.region.bytes == size:
                    self.view.table.capacity, self.view.table.half_life_ns = capacity, half_life_ns
            finally:
                os.close(guard)
            self.shared = True
            capacity = self.view.table.capacity
            if not 1 <= capacity <= ROUTE_MOST or self.view.table.region.bytes != _size(capacity):
                region_detach(&self.view.table.region)
                self.view.table = NULL
                raise _refusal(text, codes.EINVAL)
        self.view.instances = <route_instance_t*>(self.view.table + 1)
        self.view.groups = <route_group_t*>(self.view.instances + capacity)
        self.view.targets = <route_target_t*>(self.view.groups + capacity)
        if not self.sound():
            region_detach(&self.view.table.region)
            self.view.table = NULL
            raise _refusal(text, codes.EINVAL)
        return 0

    cdef bint sound(self) noexcept nogil:
        # What is counted on or followed lies within the table: of a file that others have written.
        cdef route_table_t* table = self.view.table
        cdef uint32_t i, j, route, count
        cdef uint32_t groups = route_seen(&table.groups), targets = route_seen(&table.targets)
        cdef route_group_t* g
        cdef route_target_t* t
        if table.holders > ROUTE_HOLDERS or not 1_000_000 <= table.half_life_ns <= <int64_t>1 << 42:
            return False
        if table.instances > table.capacity or groups > table.capacity or targets > table.capacity:
            return False
        for i in range(groups):
            g = self.view.groups + i
            if g.current > targets:
                return False
            for route in range(2):
                count = route_seen(&g.counts[route])
                if count > ROUTE_MEMBERS:
                    return False
                for j in range(count):
                    if g.members[route][j] >= targets:
                        return False
        for i in range(targets):
            t = self.view.targets + i
            if t.instance >= table.instances or t.group >= groups or t.route > 1:
                return False
            # What is divided by is made of these.
            if not (
                0 <= t.expected_ns <= ROUTE_LONGEST_NS
                and 0 <= t.deviation_ns <= ROUTE_LONGEST_NS
                and 0 <= t.peak_ns <= ROUTE_LONGEST_NS
                and 0 <= t.surprise_ns <= ROUTE_LONGEST_NS
            ):
                return False
            if t.failure_share > 1024 or t.ok_weight > 1 << 24 or t.failed_weight > 1 << 24:
                return False
        return True

    cdef int enter(self) except -1:
        # A cell for this process: of one that was never used, that was given back, or whose process is dead.
        cdef int32_t pid = getpid()
        cdef uint64_t start = process_start(pid)
        cdef uint32_t number, i
        self.take_lock()
        try:
            for number in range(<uint32_t>ROUTE_HOLDERS):
                if number >= self.view.table.holders or route_dead(&self.view, number):
                    break
            else:
                raise OSError(codes.EAGAIN, f"Routes: {ROUTE_HOLDERS} living processes use it already")
            for i in range(self.view.table.targets):
                self.view.targets[i].in_flight[number] = 0
                if self.view.targets[i].lock == <int32_t>number + 1:     # killed while it had it
                    self.view.targets[i].lock = 0
            self.view.table.holder[number].start = start
            self.view.table.holder[number].pid = pid
            if number >= self.view.table.holders:
                route_publish(&self.view.table.holders, number + 1)
            self.view.holder = number
            self.entered = True
        finally:
            route_unlock(&self.view.table.lock)
        return 0

    cdef int take_lock(self) except -1:
        # That of names: its holder writes its pid, as it may have no cell yet.
        cdef int32_t pid = getpid(), holder
        cdef int64_t end_ns = clock_now_ns() + LOCK_NS
        while not route_swap(&self.view.table.lock, 0, pid):
            holder = route_locked_by(&self.view.table.lock)
            if holder and process_start(holder) == 0 and route_swap(&self.view.table.lock, holder, pid):
                return 0
            if clock_now_ns() > end_ns:     # stopped in there, or the file is damaged
                raise OSError(codes.EAGAIN, f"Routes: process {holder} has held the names for a second")
            region_yield()
        return 0


cdef int64_t _quantile(const route_tally_t* tally, uint32_t thousandth):
    cdef uint64_t total = 0, before = 0, wanted, held
    cdef uint32_t i
    for i in range(<uint32_t>ROUTE_BUCKETS):
        total += route_counted(&tally.buckets[i])
    wanted = (total * thousandth + 999) // 1000
    for i in range(<uint32_t>ROUTE_BUCKETS):
        held = route_counted(&tally.buckets[i])
        if held and before + held >= wanted:
            return route_within(i, wanted, before, held)
        before += held
    return 0


cdef size_t _size(uint32_t capacity):
    return sizeof(route_table_t) + <size_t>capacity * (
        sizeof(route_instance_t) + sizeof(route_group_t) + sizeof(route_target_t)
    )


cdef uint32_t _hash(bytes text):
    # FNV-1a; 0 stands for none.
    cdef uint32_t value = 2166136261
    cdef uint32_t each
    if not text:
        return 0
    for each in text:
        value = (value ^ each) * 16777619
    return value or 1


cdef bytes _text(str text, int most, str what, bint empty=False):
    cdef bytes encoded = text.encode()
    if not (encoded or empty) or len(encoded) >= most or b"\0" in encoded:
        raise ValueError(f"Routes: {what} {text!r}, expected {0 if empty else 1} to {most - 1} bytes without NUL")
    return encoded


cdef str _shown(const char* text, int most):
    return text[:most].partition(b"\0")[0].decode(errors="replace")


cdef _refusal(str path, int why):
    if why == codes.EINVAL:
        return ValueError(f"{path}: damaged, or no table of routes of this layout")
    return OSError(why, os.strerror(why), path)
