"""One thread. Waits for many descriptors at once, and tells whose can be read."""

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t

from nautilus.core.wake cimport wake_descriptor

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int descriptor, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN

cdef extern from "unistd.h" nogil:
    int close(int descriptor)

cdef enum:
    MOST_EVENTS = 64
cdef int64_t MILLISECOND = 1_000_000
LONGEST_WAIT_NS = 3_600_000_000_000
cdef int64_t _LONGEST_WAIT_NS = LONGEST_WAIT_NS


cdef class DescriptorWait:
    """Waits for descriptors; each stands for a thing.

    They are named all at once, and anew when they change: a descriptor that was closed stays where a process that was
    forked holds its file, and could be taken out by nobody.
    """

    def __cinit__(self):
        self.epoll = -1
        self.items = []

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)

    def close(self):
        """Wait for nothing any more."""
        if self.epoll >= 0:
            close(self.epoll)
        self.epoll = -1
        self.items = []

    def renew(self, list pairs not None):
        """Wait from now on for these: (descriptor, thing).

        Raises OSError where a descriptor cannot be waited for; then there is nothing to wait for.
        """
        cdef epoll_event event
        cdef Py_ssize_t place
        self.close()
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            PyErr_SetFromErrno(OSError)
        for place, (descriptor, item) in enumerate(pairs):
            event.events = EPOLLIN
            event.data.u32 = <uint32_t> place
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, descriptor, &event) < 0:
                try:
                    PyErr_SetFromErrno(OSError)
                finally:
                    self.close()
            self.items.append(item)

    def ready(self, int64_t timeout_ns, int64_t spin_ns=0):
        """The things that can be read, after at most so long (to the millisecond above it); none: there are none.

        The thread looks again and again for `spin_ns` before it sleeps.
        """
        return self.wait(timeout_ns, spin_ns)

    cdef list wait(self, int64_t timeout_ns, int64_t spin_ns):
        cdef epoll_event events[MOST_EVENTS]
        cdef int found = 1, place, epoll = self.epoll, timeout_ms
        cdef list out = []
        timeout_ms = <int> ((max(min(timeout_ns, _LONGEST_WAIT_NS), 0) + MILLISECOND - 1) // MILLISECOND)
        if epoll < 0:
            raise ValueError("nothing to wait for: `renew` comes first")
        if spin_ns and timeout_ms:
            with nogil:
                found = wake_descriptor(epoll, spin_ns, timeout_ns)
            timeout_ms = 0
        if found > 0:
            if timeout_ms:
                with nogil:
                    found = epoll_wait(epoll, events, MOST_EVENTS, timeout_ms)
            else:
                found = epoll_wait(epoll, events, MOST_EVENTS, 0)
        if found < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
            return out
        for place in range(found):
            out.append(self.items[events[place].data.u32])
        return out
