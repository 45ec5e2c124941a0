"""One thread at a time, the loop's. The way of each request between a proxy and the pools of an engine.

Only what every request does is here; what is rare - no instance, a refusal, a second call - is left to the classes that
are made of these (`nautilus.gateway.failover`, `nautilus.gateway.gate`, `nautilus.gateway.choosing`).
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from nautilus.core.breaker import IGNORED, OVERLOADED
from nautilus.core.budget cimport Budget
from nautilus.core.proxy_upstream cimport Call, PoolBase
from nautilus.core.route import NO_TARGET, TARGET_MASK
from nautilus.core.route cimport Routes
from nautilus.core.route_choice cimport route_choose, route_learn
from nautilus.core.route_table cimport route_locked_by, route_step

cdef int _IGNORED = IGNORED, _OVERLOADED = OVERLOADED
cdef int64_t _NO_TARGET = NO_TARGET, _TARGET_MASK = TARGET_MASK


cdef class InstanceBase:
    pass


cdef class Aimed(Call):

    def __cinit__(self):
        self.target = self.limit_ticket = self.breaker_ticket = -1

    def aim(self, instance):
        raise NotImplementedError

    cdef int aim_at(self, InstanceBase instance) except -1:
        self.aim(instance)
        return 0

    def on_trouble(self):
        pass

    def on_again(self, now_ns):
        pass

    def may_double(self):
        return False

    def double(self):
        raise NotImplementedError


cdef class ChooserBase:

    def choose(self, bint write, int64_t now_ns):
        return self.pick(write, now_ns)

    cdef InstanceBase pick(self, bint write, int64_t now_ns):
        # The groups are those of this table, so they are in it.
        cdef int64_t packed = route_choose(&self._routes.view, <uint32_t>self._groups[1 if write else 0], now_ns, self._flags)
        return None if packed == _NO_TARGET else self._by_target.get(packed & _TARGET_MASK)

    def begin(self, InstanceBase instance not None, bint write):
        return self.started(instance, write)

    cdef int64_t started(self, InstanceBase instance, bint write) except? -1:
        cdef int64_t target = self._targets[instance, write]
        cdef Routes routes = self._routes
        route_step(&routes.target_at(<uint32_t>target).in_flight[routes.view.holder], 1)
        return target

    def end(self, int64_t target, int64_t latency_ns, bint ok, int64_t now_ns):
        self.ended(target, latency_ns, ok, now_ns)

    cdef int ended(self, int64_t target, int64_t latency_ns, bint ok, int64_t now_ns) except -1:
        cdef Routes routes = self._routes
        cdef int32_t* cell = &routes.target_at(<uint32_t>target).in_flight[routes.view.holder]
        if route_locked_by(cell) > 0:
            route_step(cell, -1)
        route_learn(&routes.view, routes.target_at(<uint32_t>target), latency_ns, ok, now_ns)
        return 0


cdef class GateBase:

    def __init__(self, list how not None):
        self._how = how

    def enter(self, Aimed call not None, int64_t now_ns):
        self.let_in(call, now_ns)

    cdef int let_in(self, Aimed call, int64_t now_ns) except -1:
        cdef int64_t ticket
        if call.safe and not (<GroupBase>call.engine.group).usable:
            return 0        # it waits for an instance
        if self.limiter is not None:
            ticket = call.limit_ticket = self.limiter.enter(call.priority, now_ns)
            if ticket < 0:
                raise self._is_full(call.priority)
        if self.breaker is not None:
            ticket = call.breaker_ticket = self.breaker.enter(now_ns)
            if (
                ticket < 0
                and not (call.priority == 0 and self._is_slow(now_ns))
                and not (call.safe and call.engine.group.away(call, now_ns))
            ):
                self.wait(call, now_ns)
                raise self._is_open(-ticket, now_ns)
        return 0

    def again(self, Aimed call not None, int64_t now_ns):
        if call.breaker_ticket >= 0 and self.breaker is not None:
            self.breaker.leave(call.breaker_ticket, now_ns, _IGNORED)
            call.breaker_ticket = self.breaker.enter(now_ns)

    def leave(self, Aimed call not None, int64_t now_ns, int outcome):
        self.let_out(call, now_ns, outcome)

    cdef int let_out(self, Aimed call, int64_t now_ns, int outcome) except -1:
        if call.limit_ticket >= 0 and self.limiter is not None:
            self.limiter.leave(call.limit_ticket, now_ns, self._how[outcome])
            call.limit_ticket = -1
        if call.breaker_ticket >= 0 and self.breaker is not None:
            # Who refuses for load works: a breaker that opened by that would shut out those whom the load is refused for.
            self.breaker.leave(call.breaker_ticket, now_ns, _IGNORED if outcome == _OVERLOADED else outcome)
            call.breaker_ticket = -1
        return 0


cdef class GroupBase:

    def came(self, Aimed call not None, int64_t now_ns):
        self.came_in(call, now_ns)

    cdef int came_in(self, Aimed call, int64_t now_ns) except -1:
        if isinstance(self._retries, Budget):
            (<Budget>self._retries).put()
        else:
            self._retries.deposit(now_ns)
        if call.safe:
            if isinstance(self._hedges, Budget):
                (<Budget>self._hedges).put()
            else:
                self._hedges.deposit(now_ns)
        return 0

    def dispatch(self, Aimed call not None, int64_t now_ns, InstanceBase avoid=None):
        self.send(call, now_ns, avoid)

    cdef int send(self, Aimed call, int64_t now_ns, InstanceBase avoid) except -1:
        cdef ChooserBase chooser = self.chooser
        cdef InstanceBase instance
        if call.safe and self._outage_ns and self.recovering(now_ns):
            call.wait_until_ns = call.deadline_ns   # those that have waited come first, and it is slow at first
            call.careful = True     # connections that are idle may be of the life before
        if chooser is None or avoid is not None:
            instance = self._choose(avoid)
        else:
            instance = chooser.pick(call.write, now_ns)
            if instance is None or not instance.pool.up or instance.silent:
                instance = self._choose(None)
        if instance is None:
            self.park(call, now_ns)
            return 0
        call.aim_at(instance)
        call.instance = instance
        call.life = instance.life
        if chooser is not None:
            call.target = chooser.started(instance, call.write)
        return instance.pool.ask(call, now_ns)

    def settle(self, Aimed call not None, int64_t latency_ns, bint ok, int64_t now_ns):
        self.settled(call, latency_ns, ok, now_ns)

    cdef int settled(self, Aimed call, int64_t latency_ns, bint ok, int64_t now_ns) except -1:
        if call.target >= 0 and self.chooser is not None:
            self.chooser.ended(call.target, latency_ns, ok, now_ns)
            call.target = -1
        return 0
