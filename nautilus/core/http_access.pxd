"""One thread at a time, the loop's. Who has been let in before, by the words that were shown."""

from libc.stdint cimport int64_t


cdef class AccessBase:
    cdef public dict _known
    cdef public object _keys
    cdef object again(self, tuple known, int64_t now_ns)
    cdef object let_in(self, str method, bytes target, object headers, int64_t now_ns, str scope, str certificate, bint tls)


cdef class RulesAccessBase:
    cdef AccessBase _rules
