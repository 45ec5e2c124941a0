"""One writer, no lock; readers may copy at any time. Histogram in the HDR layout with 3 significant digits.

After G. Tene's HdrHistogram (public domain): a value falls into one of 2,048 linear steps of its power-of-two range,
so a recorded value is known to 0.1 %. Lowest value 1. The histogram is one flat region of 64-bit words, header first,
then the counts, and holds no pointer. One record touches the header's line and one count. It may lie in a file that
other processes map; such a file outlives its writer, and the next one goes on with it.
"""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_HISTOGRAM_H
    #define NAUTILUS_HISTOGRAM_H
    #include <stdint.h>
    typedef struct histogram_t {
        int64_t highest;            /* largest value that is counted */
        int64_t length;             /* number of counts */
        int64_t total;              /* values counted */
        int64_t refused;            /* values below 0 or above highest */
        int64_t minimum, maximum;   /* of the values counted; INT64_MAX and 0 where there are none */
        int64_t reserved[2];
        int64_t counts[];
    } histogram_t;

    static inline int64_t histogram_index(int64_t value)
    {
        int bucket = 53 - __builtin_clzll((uint64_t)value | 2047);
        return ((int64_t)bucket << 10) + (value >> bucket);
    }

    static inline void histogram_record(histogram_t *h, int64_t value)
    {
        if (__builtin_expect((uint64_t)value > (uint64_t)h->highest, 0)) {
            h->refused++;
            return;
        }
        h->counts[histogram_index(value)]++;
        h->total++;
        if (value > h->maximum)
            h->maximum = value;
        if (value < h->minimum)
            h->minimum = value;
    }
    #endif
    """
    ctypedef struct histogram_t:
        int64_t highest
        int64_t length
        int64_t total
        int64_t refused
        int64_t minimum
        int64_t maximum
        int64_t* counts
    int64_t histogram_index(int64_t value) noexcept nogil
    # Count a value; one that is out of range is counted in `refused` alone.
    void histogram_record(histogram_t* histogram, int64_t value) noexcept nogil


cdef inline int64_t histogram_length(int64_t highest) noexcept nogil:
    # Whole half-ranges of 1,024 counts, and at least the first two.
    return ((histogram_index(highest | 2047) >> 10) + 1) << 10


cdef inline size_t histogram_bytes(int64_t highest) noexcept nogil:
    return sizeof(histogram_t) + histogram_length(highest) * sizeof(int64_t)


cdef inline void histogram_format(histogram_t* histogram, int64_t highest) noexcept nogil:
    """Make a histogram of zeroed memory."""
    histogram.highest = highest
    histogram.length = histogram_length(highest)
    histogram.minimum = <int64_t>0x7FFFFFFFFFFFFFFF


cdef inline histogram_t* histogram_open(int64_t highest) noexcept nogil:
    """A histogram for values 0 to highest (at least 2); NULL where the memory cannot be had."""
    cdef histogram_t* histogram
    if highest < 2:
        return NULL
    histogram = <histogram_t*>map_region(histogram_bytes(highest), False)
    if histogram is not NULL:
        histogram_format(histogram, highest)
    return histogram


cdef inline void histogram_close(histogram_t* histogram) noexcept nogil:
    if histogram is not NULL:
        unmap_region(histogram, histogram_bytes(histogram.highest))


cdef inline int64_t histogram_lowest(int64_t index) noexcept nogil:
    """Smallest value that falls into the count of this index."""
    cdef int64_t bucket = (index >> 10) - 1
    if bucket < 1:
        return index
    return ((index & 1023) + 1024) << bucket


cdef inline int64_t histogram_highest(int64_t index) noexcept nogil:
    """Largest value that falls into the count of this index."""
    return histogram_lowest(index + 1) - 1


cdef enum:
    HISTOGRAM_KIND = 0x54534948     # region kind "HIST"
    HISTOGRAM_LAYOUT = 1


cdef class Histogram:
    cdef histogram_t* data          # for `histogram_record`; valid as long as this object
    cdef region_t* region           # that of the file; NULL: memory of this process alone
    cdef int share(self, str path, int64_t highest) except -1
    cdef void mend(self) noexcept nogil
