"""Return types that say where a function's code goes, for the few places where the compiler's own choice costs time.

`inlined_*`: into the caller, whatever its size. `apart_*`: nowhere, so that a rare case takes no register and no line of
the instruction cache from the common one. To C they are plain int and uint32_t.
"""

from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #ifndef NAUTILUS_INLINING_H
    #define NAUTILUS_INLINING_H
    #include <stdint.h>
    #define inlined_int __attribute__((always_inline)) int
    #define inlined_uint32 __attribute__((always_inline)) uint32_t
    #define apart_int __attribute__((noinline)) int
    #define apart_uint32 __attribute__((noinline)) uint32_t
    #endif
    """
    ctypedef int inlined_int
    ctypedef uint32_t inlined_uint32
    ctypedef int apart_int
    ctypedef uint32_t apart_uint32
