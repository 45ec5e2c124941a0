"""Sections 3 to 7 of the canonical state (docs/kernel.md): accounts, limits, sources, rates and fees, positions.

`k.rules` says which layout: 1 is that of before RATE, ADJUST and the limits after MESSAGE_RATE, and holds nothing of them.
"""

from nautilus.core.state cimport kernel_t
from nautilus.core.words cimport reader_t, words_t

cdef void put_accounts(words_t* w, kernel_t* k) noexcept
# Fills `k`, which holds its instruments already.
cdef int take_accounts(reader_t* r, kernel_t* k) except -1
