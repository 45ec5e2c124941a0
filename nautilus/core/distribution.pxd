"""Distribution functions, without the interpreter: the normal one and Student's t."""

from libc.math cimport erfc, exp, log

cdef enum:
    MOST_TERMS = 300


cdef inline double normal_share(double z) noexcept nogil:
    return 0.5 * erfc(-z * 0.7071067811865476)


cdef inline double continued(double a, double b, double x) noexcept nogil:
    """Continued fraction of the incomplete beta function, by Lentz (Numerical Recipes, 3rd edition, 6.4)."""
    cdef double tiny = 1e-300, c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0), h, step, term
    cdef int m
    if -tiny < d < tiny:
        d = tiny
    d = 1.0 / d
    h = d
    for m in range(1, MOST_TERMS):
        term = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 + term * d
        c = 1.0 + term / c
        if -tiny < d < tiny:
            d = tiny
        if -tiny < c < tiny:
            c = tiny
        d = 1.0 / d
        h = h * (d * c)
        term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 + term * d
        c = 1.0 + term / c
        if -tiny < d < tiny:
            d = tiny
        if -tiny < c < tiny:
            c = tiny
        d = 1.0 / d
        step = d * c
        h = h * step
        if -3e-16 < step - 1.0 < 3e-16:
            break
    return h


cdef inline double student_share(double z, double degrees, double log_beta) noexcept nogil:
    """Student's t at z; `log_beta` is the logarithm of the beta function of degrees / 2 and 1 / 2."""
    cdef double a = 0.5 * degrees, x = degrees / (degrees + z * z), y = z * z / (degrees + z * z), tail
    if y == 0.0:
        return 0.5
    tail = exp(a * log(x) + 0.5 * log(y) - log_beta)
    if x < (a + 1.0) / (a + 2.5):
        tail = tail * continued(a, 0.5, x) / a
    else:
        tail = 1.0 - tail * continued(0.5, a, y) / 0.5
    return 1.0 - 0.5 * tail if z > 0.0 else 0.5 * tail
