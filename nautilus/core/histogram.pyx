"""Python face of the histogram and its exports; recording is inline in histogram.pxd."""

import base64
import errno as codes
import math
import os
import struct
import zlib

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport getpid

from nautilus.core.histogram cimport (
    HISTOGRAM_KIND,
    HISTOGRAM_LAYOUT,
    histogram_bytes,
    histogram_close,
    histogram_format,
    histogram_highest,
    histogram_index,
    histogram_lowest,
    histogram_open,
    histogram_record,
    histogram_t,
)
from nautilus.core.region cimport (
    process_start,
    region_attach,
    region_create,
    region_detach,
    region_t,
)

V2_COOKIE = 0x1C849303 | 0x10
V2_COMPRESSED_COOKIE = 0x1C849304 | 0x10
SIGNIFICANT_DIGITS = 3


cdef class Histogram:
    """One writer, no lock. Values 0 to `highest` with 3 significant digits, in the HDR layout.

    Parameters
    ----------
    highest : int
        Largest value counted, at least 2; the default holds an hour in nanoseconds (264 KiB, committed as touched).
    path : str or PathLike, optional
        File to share it through: made (for this user alone), or gone on with, its counts as they are. One process
        writes at a time. Without it the histogram lies in this process's memory.

    Raises
    ------
    ValueError
        No values to count, or the file is no histogram of this `highest`.
    OSError
        The file can be neither opened nor made.
    """

    def __cinit__(self, int64_t highest=3_600_000_000_000, path=None):
        if path is not None and highest >= 2:
            self.share(os.fspath(path), highest)
            return
        self.data = histogram_open(highest)
        if self.data is NULL:
            raise ValueError(f"Histogram: highest {highest}, expected at least 2 and memory for it")

    def __dealloc__(self):
        if self.region is not NULL:
            region_detach(self.region)
        else:
            histogram_close(self.data)

    @staticmethod
    def read(path):
        """A copy, apart, of the histogram that another process writes to a file.

        Raises
        ------
        FileNotFoundError
            There is none.
        ValueError
            The file is damaged, or no histogram.
        """
        cdef str name = os.fspath(path)
        cdef region_t* region = region_attach(name.encode(), HISTOGRAM_KIND, HISTOGRAM_LAYOUT)
        if region is NULL:
            raise _refusal(name, errno)
        cdef const histogram_t* source = <const histogram_t*>(region + 1)
        cdef Histogram copy
        cdef int64_t i
        try:
            if source.highest == 0:
                raise _refusal(name, codes.ENOENT)      # its writer is about to make it
            if not _sound(region):
                raise _refusal(name, codes.EINVAL)
            copy = Histogram(source.highest)
            copy.data.refused = source.refused
            copy.data.minimum = source.minimum
            copy.data.maximum = source.maximum
            with nogil:
                for i in range(copy.data.length):
                    # Written only where something is counted: pages that hold nothing are never committed.
                    if source.counts[i] > 0:
                        copy.data.counts[i] = source.counts[i]
                copy.mend()
        finally:
            region_detach(region)
        return copy

    cdef int share(self, str path, int64_t highest) except -1:
        cdef bytes name = path.encode()
        cdef int why
        self.region = region_attach(name, HISTOGRAM_KIND, HISTOGRAM_LAYOUT)
        if self.region is not NULL:
            self.data = <histogram_t*>(self.region + 1)
            if self.region.bytes == sizeof(region_t) + histogram_bytes(highest) and self.data.highest == 0:
                histogram_format(self.data, highest)    # the writer before was stopped before it had done so
            if not _sound(self.region):
                raise _refusal(path, codes.EINVAL)
            if self.data.highest != highest:
                raise ValueError(f"{path}: a histogram up to {self.data.highest}, expected {highest}")
            self.mend()
        else:
            why = errno
            if why != codes.ENOENT:
                raise _refusal(path, why)
            self.region = region_create(
                name, sizeof(region_t) + histogram_bytes(highest), HISTOGRAM_KIND, HISTOGRAM_LAYOUT, 0
            )
            if self.region is NULL:
                raise _refusal(path, errno)
            self.data = <histogram_t*>(self.region + 1)
            histogram_format(self.data, highest)
        self.region.owner = getpid()
        self.region.owner_start = process_start(self.region.owner)
        return 0

    cdef void mend(self) noexcept nogil:
        # The counts decide: a writer that was stopped, or copied, between two stores has left the rest behind.
        cdef histogram_t* h = self.data
        cdef int64_t i, first = -1, last = -1
        h.total = 0
        for i in range(h.length):
            if h.counts[i]:
                h.total += h.counts[i]
                last = i
                if first < 0:
                    first = i
        if first < 0:
            h.minimum = <int64_t>0x7FFFFFFFFFFFFFFF
            h.maximum = 0
            return
        h.minimum = min(max(h.minimum, histogram_lowest(first)), histogram_highest(first))
        h.maximum = min(max(h.maximum, histogram_lowest(last)), histogram_highest(last))

    def record(self, int64_t value):
        """Count a value; False where it is below 0 or above `highest`, which moves `refused` alone."""
        cdef int64_t refused = self.data.refused
        histogram_record(self.data, value)
        return self.data.refused == refused

    def record_many(self, const int64_t[:] values):
        """Count each value of an int64 array."""
        cdef Py_ssize_t i
        with nogil:
            for i in range(values.shape[0]):
                histogram_record(self.data, values[i])

    def merge(self, Histogram other not None):
        """Add the counts of another histogram; what lies above this one's `highest` goes to `refused`."""
        cdef int64_t i, value
        cdef histogram_t* h = self.data
        h.refused += other.data.refused
        for i in range(other.data.length):
            if other.data.counts[i]:
                value = histogram_lowest(i)
                if value > h.highest:
                    h.refused += other.data.counts[i]
                    continue
                h.counts[i] += other.data.counts[i]
                h.total += other.data.counts[i]
                h.minimum = min(h.minimum, max(value, other.data.minimum))
                h.maximum = max(h.maximum, min(histogram_highest(i), other.data.maximum))

    def clear(self):
        """Forget everything recorded."""
        self.data.total = self.data.refused = self.data.maximum = 0
        self.data.minimum = <int64_t>0x7FFFFFFFFFFFFFFF
        memset(&self.data.counts[0], 0, self.data.length * sizeof(int64_t))

    def __len__(self):
        return self.data.total

    @property
    def highest(self):
        """Largest value counted."""
        return self.data.highest

    @property
    def refused(self):
        """Values that were out of range."""
        return self.data.refused

    @property
    def minimum(self):
        """Smallest value recorded, exactly; 0 where there is none."""
        return self.data.minimum if self.data.total else 0

    @property
    def maximum(self):
        """Largest value recorded, exactly; 0 where there is none."""
        return self.data.maximum

    def percentile(self, double percent):
        """Largest value that is not told apart from the one at this percentile.

        Parameters
        ----------
        percent : float
            0 to 100. 0 gives the smallest value not told apart from the minimum.

        Returns
        -------
        int
            0 where nothing was recorded.
        """
        if not 0.0 <= percent <= 100.0:
            raise ValueError(f"Histogram.percentile: {percent}, expected 0 to 100")
        cdef int64_t wanted = max(1, <int64_t>(percent * self.data.total / 100.0 + 0.5))
        cdef int64_t seen = 0, i
        for i in range(self.data.length):
            seen += self.data.counts[i]
            if seen >= wanted:
                return histogram_lowest(i) if percent == 0.0 else histogram_highest(i)
        return 0

    def mean(self):
        """Mean, each value taken as the middle of its count's range."""
        cdef double total = 0.0
        cdef int64_t i
        for i in range(self.data.length):
            if self.data.counts[i]:
                total += <double>self.data.counts[i] * _middle(i)
        return total / self.data.total if self.data.total else 0.0

    def deviation(self):
        """Standard deviation, of the same middles."""
        cdef double mean = self.mean(), total = 0.0
        cdef int64_t i
        for i in range(self.data.length):
            if self.data.counts[i]:
                total += <double>self.data.counts[i] * (_middle(i) - mean) * (_middle(i) - mean)
        return math.sqrt(total / self.data.total) if self.data.total else 0.0

    def counts(self):
        """{smallest value of a range: count} of every range that is not empty."""
        cdef int64_t i
        return {histogram_lowest(i): self.data.counts[i] for i in range(self.data.length) if self.data.counts[i]}

    def cumulative(self, bounds):
        """How many values lie at or below each bound; a value that is not told apart from a bound counts as equal.

        Parameters
        ----------
        bounds : sequence of int
            Ascending.

        Returns
        -------
        list of int
        """
        cdef int64_t seen = 0, i = 0, last
        found = []
        for bound in bounds:
            if bound >= 0:
                last = min(histogram_index(min(bound, self.data.highest)) + 1, self.data.length)
                while i < last:
                    seen += self.data.counts[i]
                    i += 1
            found.append(seen)
        return found

    def summary(self):
        """Count, minimum, mean, p50, p90, p99, p99.9 and maximum."""
        return {
            "count": self.data.total,
            "min": self.minimum,
            "mean": self.mean(),
            "p50": self.percentile(50.0),
            "p90": self.percentile(90.0),
            "p99": self.percentile(99.0),
            "p99.9": self.percentile(99.9),
            "max": self.maximum,
        }

    def to_hgrm(self, double scale=1.0, int ticks_per_half=5):
        """Percentile distribution as the text that HdrHistogram plotters read.

        Parameters
        ----------
        scale : float
            Values are divided by it: 1000 shows nanoseconds as microseconds.
        ticks_per_half : int
            Lines for each halving of the distance to 100 %.
        """
        cdef int64_t i, seen = 0, total = self.data.total
        cdef double level = 0.0
        lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n"]
        for i in range(self.data.length):
            if not self.data.counts[i]:
                continue
            seen += self.data.counts[i]
            value = histogram_highest(i) / scale
            while 100.0 * seen / total >= level:
                lines.append(f"{value:12.3f} {level / 100:2.12f} {seen:10d} {1 / (1 - level / 100):14.2f}")
                halvings = <int>math.log2(100.0 / (100.0 - level)) + 1
                level += 100.0 / (ticks_per_half * 2.0 ** halvings)
                if seen == total:
                    lines.append(f"{value:12.3f} {1.0:2.12f} {seen:10d}")
                    break
        top = histogram_highest(histogram_index(self.data.maximum)) if total else 0
        lines.append(f"#[Mean    = {self.mean() / scale:12.3f}, StdDeviation   = {self.deviation() / scale:12.3f}]")
        lines.append(f"#[Max     = {top / scale:12.3f}, Total count    = {total:12d}]")
        lines.append(f"#[Buckets = {self.data.length // 1024 - 1:12d}, SubBuckets     = {2048:12d}]")
        return "\n".join(lines) + "\n"

    def to_bytes(self):
        """The histogram in the V2 compressed encoding of HdrHistogram."""
        cdef int64_t i = 0, zeros
        cdef int64_t limit = histogram_index(self.data.maximum) + 1 if self.data.total else 0
        words = bytearray()
        while i < limit:
            zeros = 0
            while i < limit and self.data.counts[i] == 0:
                zeros += 1
                i += 1
            if zeros:
                _append_zigzag(words, -zeros if zeros > 1 else 0)
            if i < limit:
                _append_zigzag(words, self.data.counts[i])
                i += 1
        header = struct.pack(
            ">iiiiqqd", V2_COOKIE, len(words), 0, SIGNIFICANT_DIGITS, 1, self.data.highest, 1.0
        )
        body = zlib.compress(header + bytes(words))
        return struct.pack(">ii", V2_COMPRESSED_COOKIE, len(body)) + body

    def to_log(self, double start_seconds=0.0, double length_seconds=0.0, double scale=1_000_000.0):
        """The histogram as a V2 interval log (format 1.3) with one interval.

        Parameters
        ----------
        start_seconds, length_seconds : float
            Start since the epoch, and length of the interval.
        scale : float
            Divides the maximum shown in the text of the line: 1,000,000 for milliseconds from nanoseconds.
        """
        encoded = base64.b64encode(self.to_bytes()).decode()
        top = self.data.maximum / scale
        return (
            "#[Histogram log format version 1.3]\n"
            f"#[StartTime: {start_seconds:.3f} (seconds since epoch)]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
            f"0.000,{length_seconds:.3f},{top:.3f},{encoded}\n"
        )


cdef double _middle(int64_t index) noexcept nogil:
    cdef int64_t low = histogram_lowest(index)
    return <double>(low + ((histogram_highest(index) - low + 1) >> 1))


cdef _append_zigzag(bytearray words, int64_t value):
    # ZigZag, then LEB128 of at most nine bytes: the ninth holds eight bits (HdrHistogram, ZigZagEncoding).
    cdef uint64_t rest = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef int count = 0
    while rest >= 0x80 and count < 8:
        words.append((rest & 0x7F) | 0x80)
        rest >>= 7
        count += 1
    words.append(rest)


cdef bint _sound(const region_t* region) noexcept:
    cdef const histogram_t* h = <const histogram_t*>(region + 1)
    if region.bytes < sizeof(region_t) + sizeof(histogram_t) or h.highest < 2:
        return False
    return region.bytes == sizeof(region_t) + histogram_bytes(h.highest)


cdef _refusal(str path, int why):
    if why == codes.EINVAL:
        return ValueError(f"{path}: damaged, or no histogram")
    return OSError(why, os.strerror(why), path)
