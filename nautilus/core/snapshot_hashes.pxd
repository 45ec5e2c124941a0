"""The running hashes behind the canonical state of a snapshot. Off the hot path. Layout: docs/kernel.md, State."""

from nautilus.core.state cimport kernel_t
from nautilus.core.words cimport reader_t, words_t

cdef void put_hashes(words_t* w, kernel_t* k) noexcept
cdef int take_hashes(reader_t* r, kernel_t* k) except -1
