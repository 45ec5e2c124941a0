"""Canonical state of external venues: words of routed orders, reconciled accounts, execution ids. Off the hot path.

Rules: docs/kernel.md, "State and its hash", 8 and 9.
"""

from libc.stdint cimport uint32_t

from nautilus.core.state cimport kernel_t
from nautilus.core.words cimport reader_t, words_t

cdef void put_routed(words_t* w, kernel_t* k, uint32_t slot) noexcept
cdef void put_venues(words_t* w, kernel_t* k) noexcept
# The rest of an order of an external instrument, from its standing on; ids, side and life are there.
cdef int take_routed(reader_t* r, kernel_t* k, uint32_t slot) except -1
cdef int take_venues(reader_t* r, kernel_t* k) except -1
