"""Money: 128-bit values as Python integers."""


cdef object money_int(int128_t value):
    return (<object>money_high(value) << 64) + <object>money_low(value)
