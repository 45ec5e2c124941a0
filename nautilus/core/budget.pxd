"""One thread at a time. How often may be sent again."""


cdef class Budget:
    cdef public double _share, _most, _tokens
    cdef public long granted, refused
    cdef void put(self) noexcept
