"""External venues as Python sees them.

Threading contract: any thread, also while the kernel runs on another one. Words are read one by one and never torn; what
changes meanwhile may be seen or not, and is seen at the next look.
"""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.kernel cimport Kernel
from nautilus.core.state cimport MAX_VENUES, instrument_of, kernel_t

from typing import NamedTuple


class ExternalVenue(NamedTuple):
    """One venue.

    Attributes
    ----------
    venue_id : 1 to 255.
    instrument_id : one of its instruments.
    open_accounts : accounts that are reconciled there: they may send new orders.
    """

    venue_id: int
    instrument_id: int
    open_accounts: int


def venue_of(Kernel kernel not None, uint32_t instrument_id):
    """The venue of an instrument; 0: the internal one, or no instrument of that id."""
    cdef uint32_t index = instrument_of(&kernel.state, instrument_id)
    return kernel.state.instruments[index].venue if index else 0


def external_venues(Kernel kernel not None):
    """The external venues that a kernel has instruments of, by id.

    Returns
    -------
    list of ExternalVenue
    """
    cdef kernel_t* k = &kernel.state
    cdef uint32_t[256] first
    cdef uint32_t i, venue, count = k.instrument_count
    cdef uint64_t opened
    if not k.external:
        return []
    for venue in range(<uint32_t>MAX_VENUES):
        first[venue] = 0
    for i in range(count, 0, -1):
        first[k.instruments[i].venue] = k.instruments[i].id
    found = []
    for venue in range(1, <uint32_t>MAX_VENUES):
        if first[venue]:
            opened = 0
            for i in range(1, k.account_count + 1):
                opened += k.reconciled[i * 4 + (venue >> 6)] >> (venue & 63) & 1
            found.append(ExternalVenue(venue, first[venue], opened))
    return found
