"""Python face of the circuit breakers; acquire and release are inline in breaker.pxd."""

from typing import NamedTuple

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.breaker cimport (
    B_CHANGES,
    B_CLOSED,
    B_DISABLED,
    B_ENTRIES,
    B_FORCED,
    B_FORCED_OPEN,
    B_HALF_OPEN,
    B_NAMED_AT,
    B_NUMBERS,
    B_OPEN,
    B_OUTCOMES,
    B_PROBES,
    B_REJECTS,
    B_RESET,
    B_SLOTS,
    B_SWITCHED_OFF,
    BREAKERS_KIND,
    BREAKERS_LAYOUT,
    b_before,
    b_cause,
    b_number,
    b_what,
    breaker_acquire,
    breaker_change_t,
    breaker_free_of,
    breaker_release,
    breaker_set,
    breaker_t,
)
from nautilus.core.holders cimport (
    HOLDERS_EVERY_NS,
    holders_due,
    machine_ns,
    word_add,
    word_load,
    word_peek,
)
from nautilus.core.named_table cimport NamedTable

SUCCESS, FAILURE, TIMEOUT, CANCELLED, IGNORED, OVERLOADED = range(B_OUTCOMES)
OUTCOMES = ("success", "failure", "timeout", "cancelled", "ignored", "overloaded")
OPEN, HALF_OPEN_FULL, BULKHEAD_FULL, FORCED_OPEN = range(1, B_REJECTS)
REASONS = ("", "open", "half-open", "bulkhead", "forced-open")
STATES = ("closed", "open", "half-open", "forced-open", "disabled")
CAUSES = (
    "made", "consecutive failures", "failure rate", "slow-call rate", "recovery time", "probes succeeded", "probe failed",
    "probe timed out", "probe was slow", "forced", "reset", "switched off",
)  # fmt: skip
GONE = -1


class BreakerSettings(NamedTuple):
    """When a breaker opens and closes. 0 switches a control off.

    Attributes
    ----------
    failures : consecutive ones that open it: fast, for an outage.
    failure_permille, slow_permille : failures and slow calls in a window that open it, of 1,000: for a partial outage.
    slow_ns : a call that takes so long is slow.
    least_calls : a window with fewer calls says nothing.
    window_calls : last calls that count; at most 128.
    window_ns : time whose calls count, in sixteen parts.
    recovery_ns : from open to half-open.
    backoff_permille : factor of that time (of 1,000) for each time that it opens again; 1000 or less: always the same.
    most_recovery_ns : to which it grows.
    successes : of probes, that close it; at most 32.
    probes : at once while half-open; as many as `successes` at least, at most 32.
    probe_ns : a probe that is held for longer has failed.
    bulkhead : calls at once while closed, at most 256; 0: as many as come.
    cancelled_fails : a cancelled call counts as a failure; else only where it was slow, as a slow one.
    """

    failures: int = 5
    failure_permille: int = 500
    slow_permille: int = 800
    slow_ns: int = 5_000_000_000
    least_calls: int = 20
    window_calls: int = 100
    window_ns: int = 30_000_000_000
    recovery_ns: int = 10_000_000_000
    backoff_permille: int = 1000
    most_recovery_ns: int = 300_000_000_000
    successes: int = 1
    probes: int = 0
    probe_ns: int = 10_000_000_000
    bulkhead: int = 256
    cancelled_fails: int = 0


class Change(NamedTuple):
    """One transition. `number` counts the changes of a breaker; `cause` is one of `CAUSES`, states are of `STATES`."""

    number: int
    before: str
    after: str
    cause: str
    at_ns: int


class BreakerMetrics(NamedTuple):
    """What a breaker has counted; see `Breaker.metrics`."""

    state: str
    cause: str
    changes: int
    calls: int
    successes: int
    failures: int
    timeouts: int
    cancelled: int
    ignored: int
    overloaded: int
    slow: int
    late: int
    rejected_open: int
    rejected_half_open: int
    rejected_bulkhead: int
    rejected_forced: int
    consecutive_failures: int
    in_flight: int
    average_ns: float
    wait_ns: int


class BreakerRejected(Exception):
    """A call was not made. Raised by the decorator and the context forms alone.

    Attributes
    ----------
    name : of the breaker.
    reason : one of `REASONS`.
    wait_ns : until another try makes sense.
    """

    def __init__(self, str name, str reason, wait_ns):
        super().__init__(f"breaker {name}: {reason}")
        self.name = name
        self.reason = reason
        self.wait_ns = wait_ns


_LIMITS = {
    "window_calls": B_ENTRIES, "successes": B_PROBES, "probes": B_PROBES, "bulkhead": B_SLOTS, "failure_permille": 1000,
    "slow_permille": 1000, "cancelled_fails": 1, "probe_ns": 1 << 40,
}  # fmt: skip


cdef class Breakers(NamedTable):
    """Any process, any thread. A table of circuit breakers.

    Parameters
    ----------
    capacity : int
        Breakers that it has room for; each takes a page of memory.
    path : str or PathLike, optional
        File to share them through, made (for this user alone) or used as it is; the first one's capacity holds. Without
        it they lie in memory that this process shares with its children only.

    Raises
    ------
    ValueError
        No capacity, or the file is no table of breakers.
    OSError
        The file can be neither opened nor made, or 64 live processes use it.
    """

    def __cinit__(self, uint32_t capacity=256, path=None):
        self.open_table(path, capacity, sizeof(breaker_t), B_NAMED_AT, BREAKERS_KIND, BREAKERS_LAYOUT)

    def breaker(self, str name not None, settings=None):
        """The breaker of that name, made where there is none; `settings` then and now are of all its users.

        Raises
        ------
        ValueError
            No name of 1 to 119 bytes, settings out of range, or no room.
        """
        cdef Breaker found = self.known.get(name)
        if settings is not None:
            _check(name, settings)
        if found is None:
            found = Breaker.__new__(Breaker)
            found.owner = self
            found.name = name
            found.data = <breaker_t*>self.thing_of(name)
            self.known[name] = found
        if settings is not None:
            _write_settings(found.data, settings)
        return found

    cdef int begin_thing(self, void* thing) except -1:
        return _write_settings(<breaker_t*>thing, BreakerSettings())

    cdef int free_thing(self, void* thing, uint32_t place) noexcept nogil:
        return breaker_free_of(<breaker_t*>thing, place)


cdef class Breaker:
    """Any process, any thread. One circuit breaker of a table; made by `Breakers.breaker`."""

    def acquire(self, int64_t now_ns):
        """Ask to make a call.

        Returns
        -------
        int
            0 or more: a ticket, to be given to `release` once; below: minus the reason, `OPEN`, `HALF_OPEN_FULL`,
            `BULKHEAD_FULL` or `FORCED_OPEN`.
        """
        return self.enter(now_ns)

    cdef int64_t enter(self, int64_t now_ns) except? -100:
        cdef Breakers owner = self.owner
        if owner.moved():
            owner.take_place()
        cdef int64_t ticket = breaker_acquire(self.data, owner.place, now_ns, &self.hint)
        if ticket < 0 and (ticket == -HALF_OPEN_FULL or ticket == -BULKHEAD_FULL) \
                and holders_due(owner.holders, now_ns, HOLDERS_EVERY_NS) and owner.sweep_now():
            word_add(&self.data.rejects[-ticket], <uint64_t>-1)     # it was none: it is asked again
            ticket = breaker_acquire(self.data, owner.place, now_ns, &self.hint)
        return ticket

    def release(self, int64_t ticket, int64_t now_ns, int outcome):
        """Say how the call of a ticket ended: `SUCCESS`, `FAILURE`, `TIMEOUT`, `CANCELLED`, `IGNORED` or `OVERLOADED`.

        Returns
        -------
        int
            0, or `GONE` where the ticket was given back before: nothing is counted.

        Raises
        ------
        ValueError
            No ticket, or no outcome.
        """
        if ticket < 0 or outcome < 0 or outcome >= B_OUTCOMES:
            raise ValueError(f"breaker {self.name}: ticket {ticket}, outcome {outcome}; expected 0 or more, 0 to 5")
        return self.leave(ticket, now_ns, outcome)

    cdef int leave(self, int64_t ticket, int64_t now_ns, int outcome) except? -100:
        return breaker_release(self.data, self.owner.place, ticket, now_ns, outcome, &self.hint)

    def state(self, int64_t now_ns):
        """Its state, of `STATES`; half-open too where the recovery time is over and no caller has come since."""
        cdef uint64_t word = word_load(&self.data.state)
        if b_what(word) == B_OPEN and not b_before(now_ns, word):
            return STATES[B_HALF_OPEN]
        return STATES[b_what(word)]

    def wait_ns(self, int64_t now_ns):
        """Until another try makes sense: what is left of the recovery time; 0 while closed or half-open."""
        cdef uint64_t word = word_load(&self.data.state)
        cdef uint64_t ahead
        if b_what(word) == B_FORCED_OPEN:
            return self.data.settings.recovery_ns
        if b_what(word) != B_OPEN or not b_before(now_ns, word):
            return 0
        ahead = ((word >> 24) - (<uint64_t>now_ns >> 18)) & <uint64_t>0xFFFFFFFFFF
        return <int64_t>(ahead << 18) - (now_ns & ((1 << 18) - 1))

    def metrics(self, int64_t now_ns):
        """What it has counted. `calls` have an outcome that says something; `late` ended in another period."""
        cdef breaker_t* b = self.data
        cdef uint64_t word = word_load(&b.state), consecutive = word_peek(&b.consecutive)
        cdef int64_t held = 0
        cdef int i
        for i in range(B_SLOTS):
            held += word_peek(&b.slots[i]) != 0
        for i in range(B_PROBES):
            held += (word_peek(&b.probes[i]) & 3) == 1
        counted = [b.outcomes[i] for i in range(B_OUTCOMES)]
        calls = word_peek(&b.cursor) + word_peek(&b.beside)
        failed = counted[FAILURE] + counted[TIMEOUT] + counted[OVERLOADED] + b.outcomes[B_OUTCOMES]
        return BreakerMetrics(
            state=self.state(now_ns),
            cause=CAUSES[b_cause(word)],
            changes=b_number(word),
            calls=calls,
            successes=max(calls - failed, 0),
            failures=counted[FAILURE],
            timeouts=counted[TIMEOUT],
            cancelled=counted[CANCELLED],
            ignored=counted[IGNORED],
            overloaded=counted[OVERLOADED],
            slow=word_peek(&b.slow),
            late=word_peek(&b.late),
            rejected_open=b.rejects[OPEN],
            rejected_half_open=b.rejects[HALF_OPEN_FULL],
            rejected_bulkhead=b.rejects[BULKHEAD_FULL],
            rejected_forced=b.rejects[FORCED_OPEN],
            consecutive_failures=consecutive & 0xFFFFFFFF if consecutive >> 32 == b_number(word) else 0,
            in_flight=held,
            average_ns=b.average_ns,
            wait_ns=self.wait_ns(now_ns),
        )

    @property
    def settings(self):
        """Its settings, as all its users have them now."""
        cdef int64_t* values = <int64_t*>&self.data.settings
        cdef int i
        return BreakerSettings(*[values[i] for i in range(SETTINGS)])

    def set_settings(self, settings):
        """Give it other settings, at once and for all its users. ValueError for one out of range."""
        _check(self.name, settings)
        _write_settings(self.data, settings)

    def force_open(self, int64_t now_ns=0):
        """Let no call through until `reset` or `disable`. now_ns: of the change; 0: the clock is read."""
        breaker_set(self.data, B_FORCED_OPEN, B_FORCED, now_ns or machine_ns())

    def disable(self, int64_t now_ns=0):
        """Let every call through until `reset` or `force_open`; outcomes are counted only."""
        breaker_set(self.data, B_DISABLED, B_SWITCHED_OFF, now_ns or machine_ns())

    def reset(self, int64_t now_ns=0):
        """Close it, with nothing counted in its windows."""
        breaker_set(self.data, B_CLOSED, B_RESET, now_ns or machine_ns())

    @property
    def last_change(self):
        """Number of its last change; 0: there was none. The numbers begin anew after 131,071."""
        return b_number(word_load(&self.data.state))

    def changes(self, int64_t after=0):
        """Changes after the one of that number, oldest first: the last 16 at most.

        Those in between that are no longer there show in the numbers. Of one whose maker was killed in the act, the time
        is that of who found it.
        """
        cdef uint64_t word = word_load(&self.data.state), told
        cdef int64_t missing = (<int64_t>b_number(word) - after) & B_NUMBERS
        cdef int64_t number, at_ns
        cdef breaker_change_t* entry
        found = []
        before = ""
        for number in range(after + max(missing - B_CHANGES, 0) + 1, after + missing + 1):
            entry = &self.data.changes[number % B_CHANGES]
            told = word_load(&entry.word)
            at_ns = entry.at_ns
            if not told & 1 or told >> 11 != <uint64_t>(number & B_NUMBERS) or word_load(&entry.word) != told:
                if number != after + missing:
                    before = ""
                    continue
                told = (b_what(word) << 4) | (b_cause(word) << 7) | (7 << 1)
                at_ns = 0
            known = (told >> 1) & 7
            after_state = STATES[(told >> 4) & 7]
            found.append(Change(number, before if known == 7 else STATES[known], after_state, CAUSES[(told >> 7) & 15], at_ns))
            before = after_state
        return found

    def permit(self, clock=None, ignored=()):
        """A context manager, plain or async, for one call; BreakerRejected where none may be made. Arguments: see `wrap`."""
        from nautilus.core.guarded import permit

        return permit(self, clock, ignored)

    def wrap(self, function not None, clock=None, ignored=()):
        """The function, or coroutine function, with this breaker around each call.

        Parameters
        ----------
        clock
            Gives the time in nanoseconds; None: that of the machine since its start, as `time.perf_counter_ns`.
        ignored
            Types of exceptions that say nothing of the callee: the caller's own mistakes.
        """
        from nautilus.core.guarded import wrap

        return wrap(self, function, clock, ignored)

    def __call__(self, function):
        """As a decorator: `wrap` with the machine's clock."""
        return self.wrap(function)


cdef int SETTINGS = len(BreakerSettings._fields)


cdef int _write_settings(breaker_t* at, settings) except -1:
    cdef int64_t* values = <int64_t*>&at.settings
    cdef int i
    for i in range(SETTINGS):
        values[i] = settings[i]
    return 0


def _check(name, settings):
    for field, value in zip(BreakerSettings._fields, settings, strict=True):
        most = _LIMITS.get(field, 1 << 62)
        if not 0 <= value <= most:
            raise ValueError(f"breaker {name}: {field} {value}, expected 0 to {most}")
