"""Steps of indicators: each one loop over rows, the same for one row (a stream) and for many (a batch).

A node reads columns and writes columns. A column is a row of doubles in which the past lies before the present, so
`x[i - k]` is its value k rows before row i; whoever lays columns out keeps as many of the past as their readers reach
back. A step runs from the row on which all that it reads is defined (`r` counts from there); what it writes before its
own warm-up is 0 and is read by nobody.

Sums of a window that moves along (`SUM`, `WEIGHTED`) gather rounding errors as those of TA-Lib do; `EXACT`, `VARIANCE`,
`COVARIANCE`, `REGRESSION`, `DEVIATION` are computed anew in each row from distances to its own value, which bounds the
error and makes what is constant exactly 0.
"""

from libc.math cimport atan, fabs, log, sqrt
from libc.stdint cimport int32_t, int64_t

cdef enum:
    OP_LINEAR = 1           # a x + b y + c
    OP_PRODUCT = 2          # a x y
    OP_RATIO = 3            # a (x / y + b); c where y is 0
    OP_ABSOLUTE = 4         # |x - y|
    OP_LOG = 5              # log(x / y); c where one is not above 0
    OP_GAIN = 6             # max(x - y, 0)
    OP_LEAST = 7            # min(x, y)
    OP_MOST = 8             # max(x, y)
    OP_ANGLE = 9            # atan(x), degrees
    OP_ROOT = 10            # sqrt(a x); c where a x is not above 0
    OP_RANGE = 11           # true range of high, low, close before
    OP_DIRECTION = 12       # +DM, -DM of high, high before, low, low before
    OP_FLOW = 13            # volume times place of the close in the bar: high, low, close, volume
    OP_SIGNED = 14          # sign(x - y) z
    OP_SPLIT = 15           # z where x > y, z where x < y; two columns
    OP_WHERE = 16           # x where z is above 0, else y
    OP_QUOTIENT = 18        # a x / y; c where y is exactly 0
    OP_POSITION = 17        # a (x - z) / (y - z); c where y is z
    OP_AMOUNT = 19          # |x|
    OP_SUM = 20             # a times the sum of n
    OP_TOTAL = 21           # sum of all
    OP_AVERAGE = 22         # exponential average of factor a, seeded by the mean of n
    OP_WILDER = 23          # s - s / n + x, seeded by the sum of n - 1
    OP_WEIGHTED = 24        # weights 1 .. n
    OP_EXACT = 25           # a times the sum of n, anew in each row
    OP_HIGHEST = 26         # of n, and rows since
    OP_LOWEST = 27
    OP_VARIANCE = 28        # of n, divisor n
    OP_COVARIANCE = 29      # sums of n of the deviations of x, y: xy, xx, yy
    OP_REGRESSION = 30      # slope, intercept of n on 0 .. n - 1
    OP_DEVIATION = 31       # mean |x - mean| of n
    OP_ADAPTIVE = 32        # Kaufman's average: x, x n before, sum of |changes|
    OP_PARABOLIC = 33       # Wilder's stop and reverse: high, low
    OP_SUPERTREND = 34      # high, low, close, range: level, direction
    OP_INDEX = 35           # x times its change where volume rises (m = 1) or falls (m = -1): close, volume
    OP_CANDLE = 36          # Heikin-Ashi of open, close, mean of the bar: open
    OP_RANK = 37            # part of the n before that are below
    OP_PERCENTILE = 38      # nearest rank a of n
    OP_BALANCE = 39         # y, then + y where x rises and - y where it falls: close, volume
    OP_PRESSURE = 40        # order-flow imbalance of a change of the touch: bid, size, ask, size
    OP_TICK = 41            # sign of the last change
    OP_TREND = 43           # sum of the change of x as a part of it times y: close, volume
    OP_SIGN = 44            # sign(x - y)
    OP_CHOSEN = 45          # x, and y where x is 0
    OP_SINE = 46            # sin(x + a), of degrees
    OP_HILBERT = 50         # indicator_cycles.pxd: smoothed price
    OP_PHASE = 51           # smoothed price, period
    OP_TREND_LINE = 52      # price, period
    OP_TREND_MODE = 53      # phase, period, trend line, smoothed price
    OP_MESA = 54            # price, in-phase, quadrature
    OP_SEEDED = 42          # exponential average of factor a, seeded by its first value

ctypedef struct node_t:
    double a, b, c
    int32_t op, n, m
    int32_t start           # first row on which it runs
    int32_t kept            # bits: source k (1 << k), output k (16 << k) lies in the slot's memory, not in the scratch
    int32_t source[4]       # offsets, of the lag too
    int32_t output[3]
    int32_t state           # offset of its own doubles


cdef inline bint near_zero(double x) noexcept nogil:
    """TA-Lib's notion of nothing."""
    return -1e-14 < x < 1e-14


cdef inline int64_t whole(double x, int64_t most) noexcept nogil:
    """x as a whole number from 0 to `most`, 0 where it is none: a state that was taken over may hold anything."""
    if x >= <double>most:
        return most
    return <int64_t>x if x > 0.0 else 0


cdef inline double window_sum(const double* x, int64_t n) noexcept nogil:
    """Sum of x[1 - n] .. x[0], in four sums that do not wait for one another."""
    cdef double a = 0.0, b = 0.0, c = 0.0, d = 0.0
    cdef int64_t j = 0
    x -= n - 1
    while j + 4 <= n:
        a += x[j]
        b += x[j + 1]
        c += x[j + 2]
        d += x[j + 3]
        j += 4
    while j < n:
        a += x[j]
        j += 1
    return (a + b) + (c + d)


cdef inline double window_mean(const double* x, double base, int64_t n) noexcept nogil:
    """Mean of the last n, as its distance from `base`: exactly 0 where all of them are `base`."""
    cdef double a = 0.0, b = 0.0, c = 0.0, d = 0.0
    cdef int64_t j = 0
    x -= n - 1
    while j + 4 <= n:
        a += x[j] - base
        b += x[j + 1] - base
        c += x[j + 2] - base
        d += x[j + 3] - base
        j += 4
    while j < n:
        a += x[j] - base
        j += 1
    return ((a + b) + (c + d)) / n


cdef inline double window_product(const double* x, double bx, double mx, const double* y, double by, double my,
                                  int64_t n) noexcept nogil:
    """Sum over the last n of the products of the distances from bx + mx and by + my."""
    cdef double a = 0.0, b = 0.0
    cdef int64_t j = 0
    x -= n - 1
    y -= n - 1
    while j + 2 <= n:
        a += ((x[j] - bx) - mx) * ((y[j] - by) - my)
        b += ((x[j + 1] - bx) - mx) * ((y[j + 1] - by) - my)
        j += 2
    if j < n:
        a += ((x[j] - bx) - mx) * ((y[j] - by) - my)
    return a + b


cdef inline double window_deviation(const double* x, double base, double mean, int64_t n) noexcept nogil:
    """Sum over the last n of the amounts of the distances from base + mean."""
    cdef double a = 0.0, b = 0.0
    cdef int64_t j = 0
    x -= n - 1
    while j + 2 <= n:
        a += fabs((x[j] - base) - mean)
        b += fabs((x[j + 1] - base) - mean)
        j += 2
    if j < n:
        a += fabs((x[j] - base) - mean)
    return a + b


cdef inline void step_sum(const node_t* d, double* s, const double* x, double* o, int64_t i, int64_t count,
                          int64_t r) noexcept nogil:
    cdef int64_t n = d.n
    cdef double total = s[0], a = d.a
    while i < count:
        total += x[i]
        if r >= n - 1:
            o[i] = total * a
            total -= x[i - n + 1]
        else:
            o[i] = 0.0
        i += 1
        r += 1
    s[0] = total


cdef inline void step_average(const node_t* d, double* s, const double* x, double* o, int64_t i, int64_t count,
                              int64_t r) noexcept nogil:
    cdef int64_t n = d.n
    cdef double value = s[0], a = d.a
    while i < count and r < n:
        value += x[i]
        if r == n - 1:
            value /= n
        o[i] = value if r == n - 1 else 0.0
        i += 1
        r += 1
    while i < count:
        value += a * (x[i] - value)
        o[i] = value
        i += 1
    s[0] = value


cdef inline void step_wilder(const node_t* d, double* s, const double* x, double* o, int64_t i, int64_t count,
                             int64_t r) noexcept nogil:
    cdef int64_t n = d.n
    cdef double value = s[0]
    while i < count:
        value = value + x[i] if r < n - 1 else value - value / n + x[i]
        o[i] = value
        i += 1
        r += 1
    s[0] = value


cdef inline void step_weighted(const node_t* d, double* s, const double* x, double* o, int64_t i, int64_t count,
                               int64_t r) noexcept nogil:
    # s[0]: sum of the n - 1 before; s[1]: the same with weights 1 ..
    cdef int64_t n = d.n
    cdef double plain = s[0], weighted = s[1], scale = 2.0 / (<double>n * (n + 1))
    while i < count:
        if r < n - 1:
            weighted += (r + 1) * x[i]
            plain += x[i]
            o[i] = 0.0
        else:
            weighted += n * x[i]
            plain += x[i]
            o[i] = weighted * scale
            weighted -= plain
            plain -= x[i - n + 1]
        i += 1
        r += 1
    s[0], s[1] = plain, weighted


cdef inline void step_highest(const node_t* d, double* s, const double* x, double* o, double* p, double sign,
                              int64_t i, int64_t count, int64_t r) noexcept nogil:
    # s[0]: the highest of the window, the newest of equals; s[1]: its row
    cdef int64_t n = d.n, j, at = whole(s[1], r)
    cdef double top = s[0], value
    while i < count:
        value = sign * x[i]
        if r == 0 or value >= top:
            top, at = value, r
        elif r - at >= n:
            top, at = sign * x[i - n + 1], r - n + 1
            j = n - 2
            while j >= 0:
                if sign * x[i - j] >= top:
                    top, at = sign * x[i - j], r - j
                j -= 1
        o[i] = sign * top
        p[i] = r - at
        i += 1
        r += 1
    s[0], s[1] = top, <double>at


cdef inline void step_regression(const node_t* d, const double* x, double* o, double* p, int64_t i, int64_t count,
                                 int64_t r) noexcept nogil:
    cdef int64_t n = d.n, j
    cdef double middle = 0.5 * (n - 1), power = n * (<double>n * n - 1.0) / 12.0, a, b, base
    cdef const double* y
    while i < count:
        if r >= n - 1:
            y = x + i - n + 1
            base = x[i]
            a = b = 0.0
            j = 0
            while j + 2 <= n:
                a += (j - middle) * (y[j] - base)
                b += (j + 1 - middle) * (y[j + 1] - base)
                j += 2
            if j < n:
                a += (j - middle) * (y[j] - base)
            o[i] = (a + b) / power
            p[i] = base + window_mean(x + i, base, n) - middle * o[i]
        else:
            o[i] = p[i] = 0.0
        i += 1
        r += 1


cdef inline void step_adaptive(const node_t* d, double* s, const double* x, const double* y, const double* z,
                               double* o, int64_t i, int64_t count, int64_t r) noexcept nogil:
    cdef double value = s[0], change, factor, slow = 2.0 / 31.0, wide = 2.0 / 3.0 - 2.0 / 31.0
    while i < count:
        if r == 0:
            value = x[i - 1]
        change = fabs(x[i] - y[i])
        factor = (1.0 if z[i] <= change or near_zero(z[i]) else change / z[i]) * wide + slow
        value += factor * factor * (x[i] - value)
        o[i] = value
        i += 1
        r += 1
    s[0] = value


cdef inline void step_parabolic(const node_t* d, double* s, const double* h, const double* l, double* o, int64_t i,
                                int64_t count, int64_t r) noexcept nogil:
    # a: acceleration, b: its most. s: side, stop, extreme, acceleration. A short is a long of negated prices.
    cdef double side = s[0], stop = s[1], extreme = s[2], speed = s[3], high, low, high_before, low_before
    cdef int64_t k
    while i < count:
        k = i - 1
        if r == 0:
            side = -1.0 if l[k] - l[i] > 0.0 and h[i] - h[k] < l[k] - l[i] else 1.0
            extreme = h[i] if side > 0.0 else -l[i]
            stop = l[k] if side > 0.0 else -h[k]
            speed = d.a
            k = i               # the first bar only says where the second came from: it bounds nothing
        if side > 0.0:
            high, low, high_before, low_before = h[i], l[i], h[k], l[k]
        else:
            high, low, high_before, low_before = -l[i], -h[i], -l[k], -h[k]
        if low <= stop:
            stop = max(max(extreme, high_before), high)
            o[i] = side * stop
            speed = d.a
            extreme = low
            stop += speed * (extreme - stop)
            stop = -max(max(stop, high_before), high)
            extreme = -extreme
            side = -side
        else:
            o[i] = side * stop
            if high > extreme:
                extreme = high
                speed = min(speed + d.a, d.b)
            stop += speed * (extreme - stop)
            stop = min(min(stop, low_before), low)
        i += 1
        r += 1
    s[0], s[1], s[2], s[3] = side, stop, extreme, speed


cdef inline void step_supertrend(const node_t* d, double* s, const double* h, const double* l, const double* c,
                                 const double* width, double* o, double* p, int64_t i, int64_t count,
                                 int64_t r) noexcept nogil:
    # a: multiple of the range. s: upper band, lower band, direction. Both bands move towards the price only.
    cdef double upper = s[0], lower = s[1], side = s[2], middle, band
    while i < count:
        middle = (h[i] + l[i]) * 0.5
        band = d.a * width[i]
        if r == 0:
            upper, lower, side = middle + band, middle - band, 1.0
        else:
            if middle + band < upper or c[i - 1] > upper:
                upper = middle + band
            if middle - band > lower or c[i - 1] < lower:
                lower = middle - band
            if side > 0.0:
                if c[i] < lower:
                    side = -1.0
            elif c[i] > upper:
                side = 1.0
        o[i] = lower if side > 0.0 else upper
        p[i] = side
        i += 1
        r += 1
    s[0], s[1], s[2] = upper, lower, side


cdef inline void step_rank(const node_t* d, const double* x, double* o, int64_t i, int64_t count,
                           int64_t r) noexcept nogil:
    cdef int64_t n = d.n, j, below
    while i < count:
        below = 0
        if r >= n:
            for j in range(1, n + 1):
                below += x[i - j] < x[i]
        o[i] = below * d.a
        i += 1
        r += 1


cdef inline void step_percentile(const node_t* d, double* s, const double* x, double* o, int64_t i, int64_t count,
                                 int64_t r) noexcept nogil:
    # m: rank from 1. s: the window in order, what is no number behind all others.
    cdef int64_t n = d.n, j, held
    cdef double value
    while i < count:
        held = min(r, n)
        if r >= n:
            value = x[i - n]
            held -= 1
            j = 0
            while j < held and s[j] != value and (s[j] == s[j] or value == value):
                j += 1
            while j < held:
                s[j] = s[j + 1]
                j += 1
        value = x[i]
        j = held
        while j > 0 and (s[j - 1] > value or s[j - 1] != s[j - 1]):
            s[j] = s[j - 1]
            j -= 1
        s[j] = value
        o[i] = s[d.m - 1] if r >= n - 1 else 0.0
        i += 1
        r += 1


cdef inline void step_pressure(const double* pb, const double* qb, const double* pa, const double* qa, double* o,
                               int64_t i, int64_t count) noexcept nogil:
    cdef double bought, sold
    while i < count:
        bought = (qb[i] if pb[i] >= pb[i - 1] else 0.0) - (qb[i - 1] if pb[i] <= pb[i - 1] else 0.0)
        sold = (qa[i] if pa[i] <= pa[i - 1] else 0.0) - (qa[i - 1] if pa[i] >= pa[i - 1] else 0.0)
        o[i] = bought - sold
        i += 1
