"""Python face of the quotas; the operations are in quotas.pxd."""

import fcntl
import os
from contextlib import nullcontext

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strncmp
from posix.mman cimport MS_SYNC, msync

from nautilus.core.holders cimport word_load, word_store
from nautilus.core.named_table cimport NAMED_BYTES, NamedTable, named_t
from nautilus.core.quotas cimport (
    Q_BLOCKED,
    Q_DAY,
    Q_GO,
    Q_HOUR,
    Q_MINUTE,
    Q_NAMED_AT,
    Q_SECOND,
    QUOTAS_KIND,
    QUOTAS_LAYOUT,
    q_limits_t,
    quota_block,
    quota_look,
    quota_t,
    quota_take,
    quota_taken,
    quota_unused,
)

GO, BLOCKED, SECOND, MINUTE, HOUR, DAY = Q_GO, Q_BLOCKED, Q_SECOND, Q_MINUTE, Q_HOUR, Q_DAY
MOST = 1_000_000
cdef int64_t DAY_NS = 86_400_000_000_000


cdef class Quotas(NamedTable):
    """Any process, any thread. A table of quotas.

    Parameters
    ----------
    capacity : int
        Quotas that it has room for.
    path : str or PathLike, optional
        File to keep and share them in, made (for this user alone) or gone on with as it is. Without it they lie in memory
        that this process shares with its children only.

    Raises
    ------
    ValueError
        No capacity, or the file is no table of quotas.
    OSError
        The file can be neither opened nor made, or 64 live processes use it.
    """

    def __cinit__(self, uint32_t capacity=32, path=None):
        self.open_table(path, capacity, sizeof(quota_t), Q_NAMED_AT, QUOTAS_KIND, QUOTAS_LAYOUT)

    def quota(self, str name not None, uint32_t day=0):
        """The quota of that name, made where there is none.

        Parameters
        ----------
        day : int
            Number of the day of today. Where there is no room, a place is taken that nobody has used for three days; 0:
            none is.

        Raises
        ------
        ValueError
            No name of 1 to 119 bytes, or no room.
        """
        cdef Quota found = self.known.get(name)
        if found is None:
            found = Quota.__new__(Quota)
            found.owner, found.name, found.encoded = self, name, name.encode()
            found.data = self.place_of(name, day)
            self.known[name] = found
        found.day = max(found.day, day)
        _note_use(found.place(), day)
        return found

    cdef quota_t* place_of(self, str name, uint32_t day) except NULL:
        try:
            return <quota_t*>self.thing_of(name)
        except ValueError:
            if not day or not 0 < len(name.encode()) < NAMED_BYTES or "\0" in name:
                raise
            self._free_unused(name.encode(), day)
            return <quota_t*>self.thing_of(name)

    def _free_unused(self, bytes name, uint32_t day):
        # The first place that nobody has used for long has this name from now on, if there is none of that name.
        cdef uint64_t index
        cdef named_t* at
        cdef quota_t* data
        with nullcontext() if self.region is NULL else open(self.what, "rb") as file:
            if file is not None:
                fcntl.flock(file, fcntl.LOCK_EX)        # two who look for a name do not both make it
            if name.decode() in self.names():
                return
            for index in range(self.table.capacity):
                at, data = self.named(index), <quota_t*>self.thing(index)
                if word_load(&at.taken) == 1 and quota_unused(data, day):
                    # No beginning, no name: who is killed here leaves a place that the next one takes.
                    (<char*>at.name)[0] = 0
                    memset(<char*>at.name + 1, 0, NAMED_BYTES - 1)
                    memcpy(<char*>at.name + 1, <const char*>name + 1, len(name) - 1)
                    _note_use(data, day)
                    (<char*>at.name)[0] = (<const char*>name)[0]
                    return

    def sync(self):
        """Have what was taken on the disk, so that it outlives the machine too. OSError where that fails."""
        if self.region is not NULL and msync(self.region, self.region.bytes, MS_SYNC) != 0:
            raise OSError(errno, os.strerror(errno), self.what)


cdef class Quota:
    """Any process, any thread. One quota of a table; made by `Quotas.quota`.

    Where nobody used it for days and its place has another name, it is made again, or the ValueError of `Quotas.quota`.
    """

    cdef quota_t* place(self) except NULL:
        cdef named_t* named = <named_t*>(<char*>self.data + Q_NAMED_AT)
        if strncmp(named.name, <const char*>self.encoded, NAMED_BYTES) != 0:
            self.data = self.owner.place_of(self.name, self.day)
        return self.data

    cdef quota_t* place_at(self, int64_t now_ns, uint32_t day) except NULL:
        # Some number their minutes as days: no day is later than the clock's tomorrow.
        cdef int64_t tomorrow = now_ns // DAY_NS + 1
        if self.day < day and self.day < tomorrow:
            self.day = day if day < tomorrow else <uint32_t>tomorrow
        return self.place()

    def take(self, int64_t now_ns, int64_t second, int64_t minute, int64_t hour, int64_t per_day, uint32_t day):
        """Ask for one.

        Parameters
        ----------
        now_ns : int
            Nanoseconds since the epoch.
        second, minute, hour, per_day : int
            At most so many in any second, minute, hour, and the day; 0: no limit.
        day : int
            Number of the day.

        Returns
        -------
        tuple of int
            `GO` and 0: it is taken. Else why not (`BLOCKED`, `SECOND`, `MINUTE`, `HOUR`, `DAY`) and the nanoseconds
            until it is worth asking again, 0 with `DAY`.
        """
        cdef int64_t wait_ns = 0
        cdef q_limits_t most = _limits(second, minute, hour, per_day)
        cdef quota_t* data = self.place_at(now_ns, day)
        cdef int why = quota_take(data, now_ns, &most, day, &wait_ns)
        _note_use(data, day)
        return why, wait_ns

    def look(self, int64_t now_ns, int64_t second, int64_t minute, int64_t hour, int64_t per_day, uint32_t day):
        """What `take` would say, without taking anything."""
        cdef int64_t wait_ns = 0
        cdef q_limits_t most = _limits(second, minute, hour, per_day)
        cdef quota_t* data = self.place_at(now_ns, day)
        cdef int why = quota_look(data, now_ns, &most, day, &wait_ns)
        _note_use(data, day)
        return why, wait_ns

    def block(self, int64_t until_ns, int64_t now_ns):
        """None before then; at most 25 hours. An earlier word that reaches further stays."""
        quota_block(self.place(), until_ns, now_ns)

    def taken(self, uint32_t day):
        """How many were taken of a day."""
        return quota_taken(self.place(), day)


cdef inline void _note_use(quota_t* data, uint32_t day) noexcept nogil:
    # A later day is not taken back where the clock is.
    if word_load(&data.used) < day:
        word_store(&data.used, day)


cdef q_limits_t _limits(int64_t second, int64_t minute, int64_t hour, int64_t per_day) except *:
    cdef q_limits_t most
    if not (0 <= second <= MOST and 0 <= minute <= MOST and 0 <= hour <= MOST and 0 <= per_day <= 0xFFFFFFFF):
        raise ValueError(f"quota: {second} a second, {minute} a minute, {hour} an hour, {per_day} a day; "
                         f"expected 0 to {MOST}")
    most.rates[0], most.rates[1], most.rates[2], most.per_day = second, minute, hour, per_day
    return most
