"""What a node of the mesh reads from and writes to, as far as that is compiled. One thread."""

from nautilus.core.receive_stream cimport ReceiveStream


cdef class Reader:
    """A socket that a node reads, and in what order: the smaller rank first."""


cdef class Outlet(Reader):
    """A connection that streams go out over; answers come back.

    Attributes
    ----------
    peer : the process at its other end.
    heard : something was read from it since its peer was looked at last.
    open : the socket takes messages, as far as is known.
    diverted : what waits goes over other carriers.
    urgent : of the urgent lane: nothing waits for company.
    waits : messages wait for company; they go with the next call of the host.
    sent_ns : when messages were sent last.
    streams : {priority: stream}, the smaller priority first.
    """


cdef class Port(Reader):
    """The socket that peers dial in one lane; `inbound` is {name of the peer: {priority: Inlet}}."""


cdef class Contact:
    """A process that sends to this one, and which life of it does."""

    def __init__(self, bytes identity not None, str name not None):
        self.identity = identity
        self.name = name


cdef class Inlet:
    """What comes from one peer in one priority, and by what its last envelope came (None: the router).

    Attributes
    ----------
    replies : answers that wait for company; where there are none and `stream.due` is set, an acknowledgement waits.
    said_ns : when the last answer was sent.
    """
