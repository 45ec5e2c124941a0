"""The clock of the process and clocks of one's own; the reading itself is inline in clock.pxd."""

from nautilus.core.clock cimport (
    clock_adjust,
    clock_now_ns,
    clock_open,
    clock_read,
    clock_set,
    clock_state_t,
    process_clock,
)

clock_open(&process_clock, -1)


def now_ns():
    """Nanoseconds since the epoch (UTC), of the clock of this process."""
    return clock_now_ns()


def adjust():
    """Steer the clock of this process towards CLOCK_REALTIME; to be called every second or so, by one thread.

    Returns
    -------
    int
        Nanoseconds by which CLOCK_REALTIME was ahead.
    """
    return clock_adjust(&process_clock)


def synchronise():
    """Set the clock of this process to CLOCK_REALTIME at once, back too: at its start, before anybody relies on it.

    Returns
    -------
    int
        Nanoseconds by which CLOCK_REALTIME was ahead.
    """
    return clock_set(&process_clock)


def source():
    """What the clock of this process counts: "tsc" or "monotonic"."""
    return "tsc" if process_clock.uses_tsc else "monotonic"


cdef class Clock:
    """Any thread may read; one thread adjusts. A clock apart from that of the process.

    Parameters
    ----------
    source : str
        "tsc", "monotonic", or "auto": the first where it is invariant, else the second.

    Raises
    ------
    ValueError
        Another source, or "tsc" where the counter is not invariant.
    """

    cdef clock_state_t _state

    def __cinit__(self, str source="auto"):
        choices = {"tsc": 1, "monotonic": 0, "auto": -1}
        if source not in choices:
            raise ValueError(f"Clock: source {source!r}, expected one of {', '.join(choices)}")
        if clock_open(&self._state, choices[source]) != 0:
            raise ValueError("Clock: source 'tsc', but the counter of this processor is not invariant")

    def now_ns(self):
        """Nanoseconds since the epoch (UTC)."""
        return clock_read(&self._state)

    def adjust(self):
        """Steer towards CLOCK_REALTIME; the nanoseconds by which that was ahead."""
        return clock_adjust(&self._state)

    def set(self):
        """Set to CLOCK_REALTIME at once, back too; the nanoseconds by which that was ahead."""
        return clock_set(&self._state)

    @property
    def source(self):
        """What is counted: "tsc" or "monotonic"."""
        return "tsc" if self._state.uses_tsc else "monotonic"

    @property
    def ticks_per_second(self):
        """Calibrated frequency of the counter, in Hz."""
        return 1e9 / self._state.base_rate
