"""Canonical state of the kernel as 64-bit words: written, hashed and read back. Layout: docs/kernel.md, State."""

from libc.stdint cimport uint64_t

from nautilus.core.state cimport kernel_t

cdef uint64_t snapshot_hash(kernel_t* k) except? 0
cdef bytes snapshot_write(kernel_t* k)
cdef int snapshot_read(kernel_t* k, const unsigned char[::1] data) except -1
