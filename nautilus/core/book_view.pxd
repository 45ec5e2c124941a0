"""Books as Python sees them: copies, taken between two commands."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t

cdef object best_of(kernel_t* k, uint32_t instrument)
cdef object side_depth(kernel_t* k, uint32_t instrument, int side, Py_ssize_t levels)
cdef object book_rows(kernel_t* k, uint32_t instrument, int64_t levels)
