"""Limits and fees: their tables, and what is in force for each account and pair. One thread.

Rules: docs/kernel.md and docs/kernel-controls.md, sections Limits. A LIMIT costs what it reaches, never an order: each
pair carries its limits in force and one word of bits (1 << LimitKind) that says which there are, those of its account
and of all accounts included.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t, limit_t

# Whether the limit of that kind and scope is in the table (sorted by kind, account, instrument); `at` gets its place,
# or the one it would have.
cdef bint limit_find(
    const limit_t* table, uint32_t count, uint32_t kind, uint32_t account, uint32_t instrument, uint32_t* at
) noexcept nogil

# Whether LIMIT may not have this scope (ids), value and window. Kind is an enumerator.
cdef bint limit_malformed(int kind, uint32_t account, uint32_t instrument, int64_t value, int64_t window) noexcept nogil
cdef bint limit_windowed(int kind) noexcept nogil

# Sets, replaces or (value -1) removes a limit. 0, or -1 where the table is full. `limits_refresh` must follow.
cdef int limit_set(
    kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument, int64_t value, int64_t window
) noexcept nogil
# After a LIMIT of that kind and scope (indexes, 0: every): what is in force where it reaches.
cdef void limits_refresh(kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument) noexcept nogil

# The fee of a scope (ids) in parts per million; `account`, `instrument` are its indexes. 0, or -1: the table is full.
cdef int fee_set(
    kernel_t* k, uint32_t kind, uint32_t account_id, uint32_t instrument_id, int64_t parts, uint32_t account,
    uint32_t instrument
) noexcept nogil

# Index of the pair of two indexes, made and given its limits and fees where there is none; 0 where there is no room.
cdef uint32_t pair_add(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil
# After an account was added or its flags changed: its limits, and whether its sums are kept.
cdef void account_limits(kernel_t* k, uint32_t account) noexcept nogil
