"""Steps of Ehlers' cycle measures: the Hilbert transform of a smoothed price, and what is read from it.

Ehlers (2001), "Rocket Science for Traders", as TA-Lib begins them: what lies before a step's first row counts as 0.
The transform of x is (0.0962 x[t] + 0.5769 x[t-2] - 0.5769 x[t-4] - 0.0962 x[t-6]) (0.075 p[t-1] + 0.54), p the period.
"""

from libc.math cimport NAN, atan, cos, fabs, sin
from libc.stdint cimport int64_t
from libc.string cimport memmove

from nautilus.core.indicator_steps cimport node_t, whole

cdef enum:
    HILBERT_STATE = 23          # 10 detrended, 7 quadrature, newest first; period, its average, I2, Q2, Re, Im
    LONGEST_PERIOD = 51         # rows; the transform says at most 50

cdef extern from *:
    """
    static const double degrees_of_radian = 57.29577951308232;
    /* Cosine and sine of k turns over n, for periods n of up to 50 rows; set when the module is imported. */
    static double turns_of_period[52][52][2];
    """
    const double degrees_of_radian
    double turns_of_period[52][52][2]


cdef inline void set_turns() noexcept nogil:
    cdef int n, k
    for n in range(1, 52):
        for k in range(n):
            turns_of_period[n][k][0] = cos(6.283185307179586 * k / n)
            turns_of_period[n][k][1] = sin(6.283185307179586 * k / n)


cdef inline double hilbert(double x0, double x2, double x4, double x6, double factor) noexcept nogil:
    # In pairs: of what is constant it is exactly 0.
    return ((0.0962 * x0 - 0.0962 * x6) + (0.5769 * x2 - 0.5769 * x4)) * factor


cdef inline void step_hilbert(const node_t* d, double* s, const double* x, double* o, double* p, double* q,
                              int64_t i, int64_t count, int64_t r) noexcept nogil:
    """Of the smoothed price: average period, in-phase, quadrature."""
    cdef double* v = s + 10
    cdef double* t = s + 17
    cdef double factor, ji, jq, i2, q2, period, before
    while i < count:
        factor = 0.075 * t[0] + 0.54
        memmove(s + 1, s, 9 * sizeof(double))
        memmove(v + 1, v, 6 * sizeof(double))
        s[0] = hilbert(x[i], x[i - 2] if r >= 2 else 0.0, x[i - 4] if r >= 4 else 0.0,
                       x[i - 6] if r >= 6 else 0.0, factor)
        v[0] = hilbert(s[0], s[2], s[4], s[6], factor)
        ji = hilbert(s[3], s[5], s[7], s[9], factor)
        jq = hilbert(v[0], v[2], v[4], v[6], factor)
        q2 = 0.2 * (v[0] + ji) + 0.8 * t[3]
        i2 = 0.2 * (s[3] - jq) + 0.8 * t[2]
        t[4] = 0.2 * (i2 * t[2] + q2 * t[3]) + 0.8 * t[4]
        t[5] = 0.2 * (i2 * t[3] - q2 * t[2]) + 0.8 * t[5]
        t[2], t[3] = i2, q2
        before = period = t[0]
        if t[5] != 0.0 and t[4] != 0.0:
            period = 360.0 / (atan(t[5] / t[4]) * degrees_of_radian)
        period = min(period, 1.5 * before)
        period = max(period, 0.67 * before)
        period = min(max(period, 6.0), 50.0)
        t[0] = 0.2 * period + 0.8 * before
        t[1] = 0.33 * t[0] + 0.67 * t[1]
        o[i], p[i], q[i] = t[1], s[3], v[0]
        i += 1
        r += 1


cdef inline void step_phase(const node_t* d, double* s, const double* x, const double* y, double* o, int64_t i,
                            int64_t count, int64_t r) noexcept nogil:
    """Phase in degrees of the smoothed price x over its period y; NaN where x does not swing but for rounding."""
    cdef double phase = s[0], real, imaginary, size
    cdef int64_t j, length
    cdef const double* turns
    while i < count:
        length = whole(y[i] + 0.5, LONGEST_PERIOD)
        turns = &turns_of_period[length][0][0]
        real = imaginary = size = 0.0
        j = 0
        while j < length and j <= r:
            imaginary += turns[2 * j] * x[i - j]
            real += turns[2 * j + 1] * x[i - j]
            size += fabs(x[i - j])
            j += 1
        if imaginary != 0.0:
            phase = atan(real / imaginary) * degrees_of_radian
        elif real < 0.0:
            phase -= 90.0
        elif real > 0.0:
            phase += 90.0
        phase += 90.0 + 360.0 / y[i]
        if imaginary < 0.0:
            phase += 180.0
        if phase > 315.0:
            phase -= 360.0
        o[i] = phase if fabs(real) + fabs(imaginary) > 1e-12 * size else NAN
        i += 1
        r += 1
    s[0] = phase


cdef inline void step_trend_line(const node_t* d, double* s, const double* x, const double* y, double* o, int64_t i,
                                 int64_t count) noexcept nogil:
    """Mean of the price x over its period y, smoothed over four rows."""
    cdef double mean
    cdef int64_t j, length
    while i < count:
        length = whole(y[i] + 0.5, LONGEST_PERIOD)
        mean = 0.0
        for j in range(length):
            mean += x[i - j]
        if length > 0:
            mean /= length
        o[i] = (4.0 * mean + 3.0 * s[0] + 2.0 * s[1] + s[2]) / 10.0
        s[2], s[1], s[0] = s[1], s[0], mean
        i += 1


cdef inline void step_trend_mode(const node_t* d, double* s, const double* phase, const double* period,
                                 const double* line, const double* smooth, double* o, int64_t i,
                                 int64_t count) noexcept nogil:
    """1 in a trend, 0 in a cycle, NaN without a phase. s: phase, sine, leading sine before; rows since they crossed."""
    cdef double sine, lead, turn, mode
    while i < count:
        if phase[i] != phase[i]:
            s[3] += 1.0
            o[i] = NAN
            i += 1
            continue
        sine, lead = sin(phase[i] / degrees_of_radian), sin((phase[i] + 45.0) / degrees_of_radian)
        mode = 1.0
        if (sine > lead and s[1] <= s[2]) or (sine < lead and s[1] >= s[2]):
            s[3] = mode = 0.0
        s[3] += 1.0
        if s[3] < 0.5 * period[i]:
            mode = 0.0
        turn = phase[i] - s[0]
        if period[i] != 0.0 and 0.67 * 360.0 / period[i] < turn < 1.5 * 360.0 / period[i]:
            mode = 0.0
        if line[i] != 0.0 and fabs((smooth[i] - line[i]) / line[i]) >= 0.015:
            mode = 1.0
        s[0], s[1], s[2] = phase[i], sine, lead
        o[i] = mode
        i += 1


cdef inline void step_mesa(const node_t* d, double* s, const double* x, const double* inphase,
                           const double* quadrature, double* o, double* p, int64_t i, int64_t count) noexcept nogil:
    """Average of the price that follows as fast as its phase turns, and its follower. a, b: most and least factor."""
    cdef double phase, turn, factor
    while i < count:
        phase = atan(quadrature[i] / inphase[i]) * degrees_of_radian if inphase[i] != 0.0 else 0.0
        turn = max(s[0] - phase, 1.0)
        factor = max(d.a / turn, d.b) if turn > 1.0 else d.a
        s[0] = phase
        s[1] = factor * x[i] + (1.0 - factor) * s[1]
        s[2] = 0.5 * factor * s[1] + (1.0 - 0.5 * factor) * s[2]
        o[i], p[i] = s[1], s[2]
        i += 1
