"""Any thread. The functions of libzmq, by address: the core is built without its headers and finds it nowhere by itself.

Who has the library loaded hands the addresses in (`nautilus.bus.native_sockets`); until then `zmq_calls.filled` is 0
and nobody may call. A socket is the pointer that its owner gives as `underlying`, and that is asked for at each use: of
a closed socket it is 0, which `socket_of` refuses, so that no call is made on freed memory.
"""

from libc.stddef cimport size_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ZMQ_CALLS_H
    #define NAUTILUS_ZMQ_CALLS_H
    #include <stddef.h>

    /* Large enough and aligned for zmq_msg_t, which is 64 bytes in every version since 4.0. */
    typedef union zmq_message_t { unsigned char bytes[64]; void *pointer; } zmq_message_t;

    typedef struct zmq_calls_t {
        int    (*msg_init)(zmq_message_t *);
        int    (*msg_init_size)(zmq_message_t *, size_t);
        int    (*msg_recv)(zmq_message_t *, void *, int);
        int    (*msg_send)(zmq_message_t *, void *, int);
        void  *(*msg_data)(zmq_message_t *);
        size_t (*msg_size)(const zmq_message_t *);
        int    (*msg_close)(zmq_message_t *);
        int    (*msg_more)(const zmq_message_t *);
        int    (*send)(void *, const void *, size_t, int);
        int    (*recv)(void *, void *, size_t, int);
        int    (*getsockopt)(void *, int, void *, size_t *);
        int    (*error)(void);
        int    filled;
    } zmq_calls_t;
    #endif
    """
    ctypedef union zmq_message_t:
        void* pointer

    ctypedef struct zmq_calls_t:
        int (*msg_init)(zmq_message_t*) noexcept nogil
        int (*msg_init_size)(zmq_message_t*, size_t) noexcept nogil
        int (*msg_recv)(zmq_message_t*, void*, int) noexcept nogil
        int (*msg_send)(zmq_message_t*, void*, int) noexcept nogil
        void* (*msg_data)(zmq_message_t*) noexcept nogil
        size_t (*msg_size)(const zmq_message_t*) noexcept nogil
        int (*msg_close)(zmq_message_t*) noexcept nogil
        int (*msg_more)(const zmq_message_t*) noexcept nogil
        int (*send)(void*, const void*, size_t, int) noexcept nogil
        int (*recv)(void*, void*, size_t, int) noexcept nogil
        int (*getsockopt)(void*, int, void*, size_t*) noexcept nogil
        int (*error)() noexcept nogil
        int filled

cdef enum:
    ZMQ_DONTWAIT = 1

# Of this process; filled once, by `fill`.
cdef zmq_calls_t zmq_calls

cdef void* socket_of(object socket) except NULL
cdef object failure(int code)
