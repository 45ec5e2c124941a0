"""One thread at a time. Heads of HTTP/1.1 messages as a proxy sees them."""

from libc.stdint cimport int64_t

cdef class AnswerHead:
    cdef readonly int status, body
    cdef readonly int64_t length
    cdef readonly Py_ssize_t size
    cdef readonly bint keep_alive
    cdef readonly bytes lines


cpdef read_answer(bytes data, bint head_only=*, drop=*)
cpdef bytes client_head(AnswerHead head, bytes add, int64_t own_us, int64_t upstream_us, bint close)
cpdef bytes upstream_head(bytes start, list fields, bytes add, int64_t length, drop=*, bint upgrade=*)
cpdef bytes new_trace()
cpdef tuple shown_by(list fields)
cpdef tuple request_facts(list fields)
