"""One node of a program of indicators over rows: which step an operation is."""

from libc.math cimport atan, fabs, log, sin, sqrt
from libc.stdint cimport int32_t, int64_t

from nautilus.core.indicator_cycles cimport (
    degrees_of_radian,
    step_hilbert,
    step_mesa,
    step_phase,
    step_trend_line,
    step_trend_mode,
)
from nautilus.core.indicator_steps cimport *


cdef inline void run_node(const node_t* d, double* memory, double* at, double* scratch, int64_t row,
                          int64_t count) noexcept nogil:
    """Rows `row` .. of one node; `at`: the kept columns of the first of them."""
    cdef const double* x = (at if d.kept & 1 else scratch) + d.source[0]
    cdef const double* y = (at if d.kept & 2 else scratch) + d.source[1]
    cdef const double* z = (at if d.kept & 4 else scratch) + d.source[2]
    cdef const double* w = (at if d.kept & 8 else scratch) + d.source[3]
    cdef double* o = (at if d.kept & 16 else scratch) + d.output[0]
    cdef double* p = (at if d.kept & 32 else scratch) + d.output[1]
    cdef double* q = (at if d.kept & 64 else scratch) + d.output[2]
    cdef double* s = memory + d.state
    cdef int64_t i = d.start - row, r, n = d.n
    cdef double a = d.a, b = d.b, c = d.c, value, other, first, second
    cdef int32_t op = d.op
    if i < 0:
        i = 0
    if i >= count:
        return
    r = row + i - d.start
    if op == OP_LINEAR:
        while i < count:
            o[i] = a * x[i] + b * y[i] + c
            i += 1
    elif op == OP_PRODUCT:
        while i < count:
            o[i] = a * (x[i] * y[i])
            i += 1
    elif op == OP_RATIO:
        while i < count:
            o[i] = c if near_zero(y[i]) else a * (x[i] / y[i] + b)
            i += 1
    elif op == OP_ABSOLUTE:
        while i < count:
            o[i] = fabs(x[i] - y[i])
            i += 1
    elif op == OP_LOG:
        while i < count:
            o[i] = log(x[i] / y[i]) if x[i] > 0.0 and y[i] > 0.0 else c
            i += 1
    elif op == OP_GAIN:
        while i < count:
            value = x[i] - y[i]
            o[i] = value if value > 0.0 else 0.0
            i += 1
    elif op == OP_LEAST:
        while i < count:
            o[i] = x[i] if x[i] < y[i] else y[i]
            i += 1
    elif op == OP_MOST:
        while i < count:
            o[i] = x[i] if x[i] > y[i] else y[i]
            i += 1
    elif op == OP_ANGLE:
        while i < count:
            o[i] = atan(x[i]) * 57.29577951308232
            i += 1
    elif op == OP_ROOT:
        while i < count:
            o[i] = sqrt(a * x[i]) if a * x[i] > 0.0 else c
            i += 1
    elif op == OP_RANGE:
        while i < count:
            value = x[i] - y[i]
            other = fabs(x[i] - z[i])
            value = other if other > value else value
            other = fabs(y[i] - z[i])
            o[i] = other if other > value else value
            i += 1
    elif op == OP_DIRECTION:
        while i < count:
            value = x[i] - y[i]
            other = w[i] - z[i]
            o[i] = value if value > 0.0 and value > other else 0.0
            p[i] = other if other > 0.0 and other > value else 0.0
            i += 1
    elif op == OP_FLOW:
        while i < count:
            value = x[i] - y[i]
            o[i] = ((z[i] - y[i]) - (x[i] - z[i])) / value * w[i] if value > 0.0 else 0.0
            i += 1
    elif op == OP_SIGNED:
        while i < count:
            o[i] = z[i] if x[i] > y[i] else (-z[i] if x[i] < y[i] else 0.0)
            i += 1
    elif op == OP_SPLIT:
        while i < count:
            o[i] = z[i] if x[i] > y[i] else 0.0
            p[i] = z[i] if x[i] < y[i] else 0.0
            i += 1
    elif op == OP_WHERE:
        while i < count:
            o[i] = x[i] if z[i] > 0.0 else y[i]
            i += 1
    elif op == OP_QUOTIENT:
        while i < count:
            o[i] = c if y[i] == 0.0 else a * (x[i] / y[i])
            i += 1
    elif op == OP_POSITION:
        while i < count:
            value = y[i] - z[i]
            o[i] = c if near_zero(value) else a * ((x[i] - z[i]) / value)
            i += 1
    elif op == OP_SUM:
        step_sum(d, s, x, o, i, count, r)
    elif op == OP_TOTAL:
        value = s[0]
        while i < count:
            value += x[i]
            o[i] = value
            i += 1
        s[0] = value
    elif op == OP_AVERAGE:
        step_average(d, s, x, o, i, count, r)
    elif op == OP_SEEDED:
        value = x[i] if r == 0 else s[0]
        while i < count:
            value += a * (x[i] - value)
            o[i] = value
            i += 1
        s[0] = value
    elif op == OP_WILDER:
        step_wilder(d, s, x, o, i, count, r)
    elif op == OP_WEIGHTED:
        step_weighted(d, s, x, o, i, count, r)
    elif op == OP_EXACT:
        while i < count:
            o[i] = window_sum(x + i, n) * a if r >= n - 1 else 0.0
            i += 1
            r += 1
    elif op == OP_HIGHEST:
        step_highest(d, s, x, o, p, 1.0, i, count, r)
    elif op == OP_LOWEST:
        step_highest(d, s, x, o, p, -1.0, i, count, r)
    elif op == OP_VARIANCE:
        while i < count:
            o[i] = 0.0
            if r >= n - 1:
                first = x[i]
                value = window_mean(x + i, first, n)
                o[i] = window_product(x + i, first, value, x + i, first, value, n) / n
            i += 1
            r += 1
    elif op == OP_COVARIANCE:
        while i < count:
            o[i] = p[i] = q[i] = 0.0
            if r >= n - 1:
                first, second = x[i], y[i]
                value, other = window_mean(x + i, first, n), window_mean(y + i, second, n)
                o[i] = window_product(x + i, first, value, y + i, second, other, n)
                p[i] = window_product(x + i, first, value, x + i, first, value, n)
                q[i] = window_product(y + i, second, other, y + i, second, other, n)
            i += 1
            r += 1
    elif op == OP_REGRESSION:
        step_regression(d, x, o, p, i, count, r)
    elif op == OP_DEVIATION:
        while i < count:
            o[i] = 0.0
            if r >= n - 1:
                first = x[i]
                o[i] = window_deviation(x + i, first, window_mean(x + i, first, n), n) / n
            i += 1
            r += 1
    elif op == OP_ADAPTIVE:
        step_adaptive(d, s, x, y, z, o, i, count, r)
    elif op == OP_PARABOLIC:
        step_parabolic(d, s, x, y, o, i, count, r)
    elif op == OP_SUPERTREND:
        step_supertrend(d, s, x, y, z, w, o, p, i, count, r)
    elif op == OP_INDEX:
        value = a if r == 0 else s[0]
        while i < count:
            if r > 0 and (y[i] - y[i - 1]) * d.m > 0.0 and x[i - 1] != 0.0:
                value *= x[i] / x[i - 1]
            o[i] = value
            i += 1
            r += 1
        s[0] = value
    elif op == OP_CANDLE:
        # open of the candle: middle of the body of the one before
        value, other = s[0], s[1]
        while i < count:
            value = 0.5 * (x[i] + y[i]) if r == 0 else 0.5 * (value + other)
            other = z[i]
            o[i] = value
            i += 1
            r += 1
        s[0], s[1] = value, other
    elif op == OP_RANK:
        step_rank(d, x, o, i, count, r)
    elif op == OP_PERCENTILE:
        step_percentile(d, s, x, o, i, count, r)
    elif op == OP_PRESSURE:
        step_pressure(x, y, z, w, o, i, count)
    elif op == OP_AMOUNT:
        while i < count:
            o[i] = fabs(x[i])
            i += 1
    elif op == OP_SIGN:
        while i < count:
            o[i] = 1.0 if x[i] > y[i] else (-1.0 if x[i] < y[i] else 0.0)
            i += 1
    elif op == OP_CHOSEN:
        while i < count:
            o[i] = x[i] if x[i] != 0.0 else y[i]
            i += 1
    elif op == OP_BALANCE:
        value = s[0]
        while i < count:
            if r == 0:
                value = y[i]
            elif x[i] > x[i - 1]:
                value += y[i]
            elif x[i] < x[i - 1]:
                value -= y[i]
            o[i] = value
            i += 1
            r += 1
        s[0] = value
    elif op == OP_TREND:
        value = s[0]
        while i < count:
            if r > 0 and x[i - 1] != 0.0:
                value += (x[i] - x[i - 1]) / x[i - 1] * y[i]
            o[i] = value
            i += 1
            r += 1
        s[0] = value
    elif op == OP_SINE:
        while i < count:
            o[i] = sin((x[i] + a) / degrees_of_radian)
            i += 1
    elif op == OP_HILBERT:
        step_hilbert(d, s, x, o, p, q, i, count, r)
    elif op == OP_PHASE:
        step_phase(d, s, x, y, o, i, count, r)
    elif op == OP_TREND_LINE:
        step_trend_line(d, s, x, y, o, i, count)
    elif op == OP_TREND_MODE:
        step_trend_mode(d, s, x, y, z, w, o, i, count)
    elif op == OP_MESA:
        step_mesa(d, s, x, y, z, o, p, i, count)
    elif op == OP_TICK:
        value = 0.0 if r == 0 else s[0]
        while i < count:
            if r > 0 and x[i] != x[i - 1]:
                value = 1.0 if x[i] > x[i - 1] else -1.0
            o[i] = value
            i += 1
            r += 1
        s[0] = value
