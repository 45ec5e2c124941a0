"""How a thread waits, chosen once: for readers of rings and for hosts that wait for descriptors."""

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.stdint cimport INT64_MAX, int64_t

import os

from nautilus.core.affinity import LatencyHold
from nautilus.core.wake cimport wake_descriptor

POLICIES = ("block", "hold-awake", "spin-then-block", "spin")
SPIN_NS = 50_000


cdef class Waiting:
    """Any thread. One of four ways to wait; what a wake-up costs stands in the page on the bus.

    Parameters
    ----------
    policy : str
        "block": sleep until woken. "hold-awake": the same, while no core sleeps so deeply that waking it takes long
        (/dev/cpu_dma_latency, held as long as this object; where it is refused, this is "block", and `grant` says why).
        "spin-then-block": look again and again for `spin_ns`, then sleep. "spin": never sleep; after some 50
        microseconds others may run between two looks.
    spin_ns : int
        Of "spin-then-block".

    Attributes
    ----------
    policy : str
    spin_ns : int
        0: none; the largest number of 64 bits: for ever.
    grant : Grant or None
        Of "hold-awake".

    Raises
    ------
    ValueError
        No such policy, or a time below zero.
    """

    def __cinit__(self, str policy not None="block", *, int64_t spin_ns=SPIN_NS):
        if policy not in POLICIES or spin_ns < 0:
            raise ValueError(f"Waiting: policy {policy!r}, spin_ns {spin_ns}; expected {', '.join(POLICIES)}, 0 or more")
        self.policy = policy
        self.spin_ns = spin_ns if policy == "spin-then-block" else INT64_MAX if policy == "spin" else 0
        if policy == "hold-awake":
            self.hold = LatencyHold(0)
            self.grant = self.hold.grant

    def readable(self, int descriptor, int64_t timeout_ns):
        """Wait until a descriptor (an epoll's, a doorbell's) can be read.

        Returns
        -------
        bool
            False: not within the time.

        Raises
        ------
        OSError
            The descriptor cannot be waited for.
        """
        cdef int found
        cdef int64_t spin_ns = self.spin_ns
        with nogil:
            found = wake_descriptor(descriptor, spin_ns, timeout_ns)
        if found < 0:
            if errno != EINTR:
                raise OSError(errno, os.strerror(errno))
            PyErr_CheckSignals()
            return False
        return found > 0

    def close(self):
        """Let the cores sleep again, where they were held awake."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None
