"""Python face of the concurrency limits; acquire and release are inline in limiter.pxd."""

from typing import NamedTuple

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.holders cimport (
    HOLDERS_EVERY_NS,
    holders_due,
    word_add,
    word_peek,
)
from nautilus.core.limiter cimport (
    L_DROPPED,
    L_FAILED,
    L_LEFT_OUT,
    L_NAMED_AT,
    L_PRIORITIES,
    L_SAMPLED,
    L_SCALE,
    L_SHED,
    L_SLOTS,
    LIMITERS_KIND,
    LIMITERS_LAYOUT,
    l_occupied,
    limiter_acquire,
    limiter_free_of,
    limiter_limit,
    limiter_mend,
    limiter_release,
    limiter_t,
)
from nautilus.core.named_table cimport NamedTable

SAMPLED, FAILED, DROPPED, LEFT_OUT = L_SAMPLED, L_FAILED, L_DROPPED, L_LEFT_OUT
SHED = L_SHED
GONE = -1


class LimiterSettings(NamedTuple):
    """How a limit learns.

    Attributes
    ----------
    least, most, first : of the limit; at most 512.
    window_ns, least_samples : of what is learned from; both have to be reached.
    base_every_ns : between looks at the latency without a queue; 0: never.
    target_ns : latencies up to this are good.
    shares : thousandths of the limit for each priority, from the first to the last; 2000 at most.
    fixed : the limit stays at `first`.
    """

    least: int = 1
    most: int = 512
    first: int = 4
    window_ns: int = 50_000_000
    least_samples: int = 20
    base_every_ns: int = 10_000_000_000
    target_ns: int = 0
    shares: tuple = (2000, 1000, 800, 600)
    fixed: int = 0


class LimiterMetrics(NamedTuple):
    """What a limit is and has counted; `admitted` and `shed` by priority."""

    limit: float
    under_way: int
    base_us: int
    last_us: int
    windows: int
    admitted: tuple
    shed: tuple


cdef class Limiters(NamedTable):
    """Any process, any thread. A table of concurrency limits.

    Parameters
    ----------
    capacity : int
        Limits that it has room for.
    path : str or PathLike, optional
        File to share them through, made (for this user alone) or used as it is; the first one's capacity holds. Without
        it they lie in memory that this process shares with its children only.

    Raises
    ------
    ValueError
        No capacity, or the file is no table of limits.
    OSError
        The file can be neither opened nor made, or 64 live processes use it.
    """

    def __cinit__(self, uint32_t capacity=32, path=None):
        self.open_table(path, capacity, sizeof(limiter_t), L_NAMED_AT, LIMITERS_KIND, LIMITERS_LAYOUT)

    def limiter(self, str name not None, settings=None):
        """The limit of that name, made where there is none; `settings` then and now are of all its users.

        Raises
        ------
        ValueError
            No name of 1 to 119 bytes, settings out of range, or no room.
        """
        cdef Limiter found = self.known.get(name)
        if settings is not None:
            _check(name, settings)
        if found is None:
            found = Limiter.__new__(Limiter)
            found.owner = self
            found.name = name
            found.data = <limiter_t*>self.thing_of(name)
            self.known[name] = found
        if settings is not None:
            _write_settings(found.data, settings)
        return found

    cdef int begin_thing(self, void* thing) except -1:
        return _write_settings(<limiter_t*>thing, LimiterSettings())

    cdef int free_thing(self, void* thing, uint32_t place) noexcept nogil:
        return limiter_free_of(<limiter_t*>thing, place)


cdef class Limiter:
    """Any process, any thread. One concurrency limit of a table; made by `Limiters.limiter`."""

    def acquire(self, int priority, int64_t now_ns):
        """Ask to make a call of a priority, 0 (critical) to 3 (low).

        Returns
        -------
        int
            0 or more: a ticket, to be given to `release` once; `SHED`: there is no room.

        Raises
        ------
        ValueError
            No such priority.
        """
        return self.enter(priority, now_ns)

    cdef int64_t enter(self, int priority, int64_t now_ns) except? -100:
        cdef Limiters owner = self.owner
        if not 0 <= priority < L_PRIORITIES:
            raise ValueError(f"limiter {self.name}: priority {priority}, expected 0 to {L_PRIORITIES - 1}")
        if owner.moved():
            owner.take_place()
        cdef int64_t ticket = limiter_acquire(self.data, owner.place, priority, now_ns, &self.hint)
        if ticket < 0 and holders_due(owner.holders, now_ns, HOLDERS_EVERY_NS):
            owner.sweep_now()
            limiter_mend(self.data)
            word_add(&self.data.shed[priority], <uint64_t>-1)       # it was not: it is asked again
            ticket = limiter_acquire(self.data, owner.place, priority, now_ns, &self.hint)
        return ticket

    def release(self, int64_t ticket, int64_t now_ns, int how=SAMPLED):
        """Say that the call of a ticket has ended.

        Parameters
        ----------
        how
            `SAMPLED`: its latency says something; `DROPPED`: the callee was too busy; `FAILED`, `LEFT_OUT`: neither.

        Returns
        -------
        int
            0, or `GONE` where the ticket was given back before.
        """
        if ticket < 0:
            raise ValueError(f"limiter {self.name}: ticket {ticket}, expected 0 or more")
        return self.leave(ticket, now_ns, how)

    cdef int leave(self, int64_t ticket, int64_t now_ns, int how) except? -100:
        return limiter_release(self.data, self.owner.place, ticket, now_ns, how, &self.hint)

    @property
    def limit(self):
        """How many calls may be under way at once, now."""
        return limiter_limit(self.data) / <double>L_SCALE

    @property
    def settings(self):
        """Its settings, as all its users have them now."""
        cdef int64_t* values = <int64_t*>&self.data.settings
        cdef int i
        return LimiterSettings(
            *[values[i] for i in range(7)], tuple([values[i] for i in range(7, 7 + L_PRIORITIES)]), values[7 + L_PRIORITIES]
        )

    def set_settings(self, settings):
        """Give it other settings, at once and for all its users. ValueError for one out of range."""
        _check(self.name, settings)
        _write_settings(self.data, settings)

    def metrics(self):
        """What it is and has counted."""
        cdef limiter_t* l = self.data
        cdef int i
        return LimiterMetrics(
            limit=self.limit,
            under_way=word_peek(&l.under_way),
            base_us=word_peek(&l.base_us),
            last_us=word_peek(&l.last_us),
            windows=word_peek(&l.windows),
            admitted=tuple([l.admitted[i] for i in range(L_PRIORITIES)]),
            shed=tuple([l.shed[i] for i in range(L_PRIORITIES)]),
        )

    def held(self):
        """Tickets that are out, by their slots."""
        return l_occupied(self.data)


cdef int _write_settings(limiter_t* at, settings) except -1:
    cdef int64_t* values = <int64_t*>&at.settings
    cdef int i
    flat = [*settings[:7], *settings[7], settings[8]]
    for i in range(len(flat)):
        values[i] = flat[i]
    return 0


def _check(name, settings):
    least, most, first, shares = settings.least, settings.most, settings.first, settings.shares
    if not 1 <= least <= first <= most <= L_SLOTS // 2:
        raise ValueError(
            f"limiter {name}: least {least}, first {first}, most {most}; expected 1 and more, in this order, "
            f"at most {L_SLOTS // 2}"
        )
    if len(shares) != L_PRIORITIES or not all(0 < share <= 2000 for share in shares):
        raise ValueError(f"limiter {name}: shares {shares}, expected {L_PRIORITIES} of 1 to 2000")
    for field in ("window_ns", "least_samples", "base_every_ns", "target_ns", "fixed"):
        if getattr(settings, field) < 0:
            raise ValueError(f"limiter {name}: {field} {getattr(settings, field)}, expected 0 or more")
