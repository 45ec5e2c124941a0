"""What regions with holders share: a place in the table, a new one after a fork, the sweep of dead ones."""

import errno as codes
import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t

from nautilus.core.clock cimport process_clock
from nautilus.core.holders cimport (
    HOLDERS,
    holder_enter,
    holder_identity,
    holder_leave,
    holder_take_over,
    machine_span,
    span_open,
    word_load,
)
from nautilus.core.region cimport region_attach, region_create, region_detach, region_t

import nautilus.core.clock as _clock  # sets the clock of the process up

span_open(&machine_span, process_clock.base_rate if process_clock.uses_tsc else 0.0)

cdef int forks = 0      # of this process since the first: a child holds nothing of its parent's


def _forked():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_forked)


cdef region_t* share_region(str path, size_t size, uint32_t kind, uint32_t layout) except NULL:
    cdef bytes name = path.encode(), apart
    cdef region_t* region
    cdef int why
    while True:
        region = region_attach(name, kind, layout)
        if region is not NULL:
            return region
        why = errno
        if why == codes.EINVAL:
            raise ValueError(f"{path}: damaged, or a region of another kind")
        if why != codes.ENOENT:
            raise OSError(why, os.strerror(why), path)
        apart = f"{path}.{os.getpid()}".encode()
        region = region_create(apart, size, kind, layout, 0)
        if region is NULL:
            raise OSError(errno, os.strerror(errno), path)
        try:
            os.link(apart, name)            # never over one that another has made meanwhile
            return region
        except FileExistsError:
            region_detach(region)
        finally:
            os.unlink(apart)


cdef class Tenant:
    """Any thread. Base of what takes permits of a shared region."""

    cdef int take_place(self) except -1:
        # A place of one's own; OSError where as many live processes as there are places have one.
        cdef int place
        self.identity = holder_identity()
        place = holder_enter(self.holders, self.identity)
        if place < 0:
            self.sweep_now()
            place = holder_enter(self.holders, self.identity)
        if place < 0:
            raise OSError(f"{self.what}: {HOLDERS} processes use it, expected no more")
        self.place = <uint32_t>place
        self.lives = forks
        return 0

    cdef bint moved(self) noexcept:
        # Whether this is a child of the process that took the place.
        return self.lives != forks

    cdef int free_of(self, uint32_t place) noexcept nogil:
        return 0

    cdef int sweep_now(self) noexcept nogil:
        # Permits that came back.
        cdef int place, freed = 0
        for place in range(HOLDERS):
            if word_load(&self.holders.words[place]) and holder_take_over(self.holders, place, self.identity):
                freed += self.free_of(<uint32_t>place)
                holder_leave(self.holders, place)
        return freed

    cdef void leave_place(self) noexcept:
        # Gives back what this object holds; a child of a fork has nothing to give.
        if self.holders is not NULL and self.identity and self.lives == forks:
            self.free_of(self.place)
            holder_leave(self.holders, <int>self.place)

    def holders_alive(self):
        """Pids with a place in the table, in order of the places."""
        cdef int place
        return [self.holders.words[place] & 0x7FFFFFFF for place in range(HOLDERS) if self.holders.words[place]]
