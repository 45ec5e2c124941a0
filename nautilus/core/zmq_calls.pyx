"""Where the functions of libzmq are handed in: see zmq_calls.pxd."""

import errno

from libc.stddef cimport size_t
from libc.stdint cimport uintptr_t

NAMES = (
    "zmq_msg_init", "zmq_msg_init_size", "zmq_msg_recv", "zmq_msg_send", "zmq_msg_data", "zmq_msg_size",
    "zmq_msg_close", "zmq_msg_more", "zmq_send", "zmq_recv", "zmq_getsockopt", "zmq_errno",
)
"""What `fill` must be given."""

cdef object failed = OSError


def fill(dict addresses not None, error=OSError):
    """Take the functions' addresses, by name; once in a process, before any thread uses them.

    Parameters
    ----------
    addresses : dict of str to int
        For each of `NAMES`.
    error : callable
        Makes an exception of an errno.

    Raises
    ------
    ValueError
        One is missing or 0; nothing has changed then.
    """
    global failed
    found = [addresses.get(name, 0) for name in NAMES]
    missing = [name for name, address in zip(NAMES, found) if not address]
    if missing:
        raise ValueError(f"fill: no address of {', '.join(missing)}; expected all of {len(NAMES)}")
    zmq_calls.msg_init = <int (*)(zmq_message_t*) noexcept nogil><uintptr_t>found[0]
    zmq_calls.msg_init_size = <int (*)(zmq_message_t*, size_t) noexcept nogil><uintptr_t>found[1]
    zmq_calls.msg_recv = <int (*)(zmq_message_t*, void*, int) noexcept nogil><uintptr_t>found[2]
    zmq_calls.msg_send = <int (*)(zmq_message_t*, void*, int) noexcept nogil><uintptr_t>found[3]
    zmq_calls.msg_data = <void* (*)(zmq_message_t*) noexcept nogil><uintptr_t>found[4]
    zmq_calls.msg_size = <size_t (*)(const zmq_message_t*) noexcept nogil><uintptr_t>found[5]
    zmq_calls.msg_close = <int (*)(zmq_message_t*) noexcept nogil><uintptr_t>found[6]
    zmq_calls.msg_more = <int (*)(const zmq_message_t*) noexcept nogil><uintptr_t>found[7]
    zmq_calls.send = <int (*)(void*, const void*, size_t, int) noexcept nogil><uintptr_t>found[8]
    zmq_calls.recv = <int (*)(void*, void*, size_t, int) noexcept nogil><uintptr_t>found[9]
    zmq_calls.getsockopt = <int (*)(void*, int, void*, size_t*) noexcept nogil><uintptr_t>found[10]
    zmq_calls.error = <int (*)() noexcept nogil><uintptr_t>found[11]
    failed = error
    zmq_calls.filled = 1


def filled():
    """Whether the functions can be called."""
    return bool(zmq_calls.filled)


cdef void* socket_of(object socket) except NULL:
    """The pointer of an open socket; of a closed one, or while there is no table, an exception."""
    cdef uintptr_t pointer
    if not zmq_calls.filled:
        raise RuntimeError("no functions of libzmq; expected `fill` before")
    pointer = socket.underlying
    if pointer == 0:
        raise failed(errno.ENOTSOCK)
    return <void*>pointer


cdef object failure(int code):
    """The exception that an errno is."""
    return failed(code)
