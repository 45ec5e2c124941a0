"""Loops that time the inline operations of the core from C. Each returns nanoseconds, or what it says."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from nautilus.core.broadcast cimport (
    CAST_SLOTS,
    Writer,
    cast_claim,
    cast_commit,
    cast_publish,
    cast_ring,
    cast_writer_t,
)
from nautilus.core.broadcast_reader cimport (
    Reader,
    cast_pass,
    cast_peek,
    cast_reader_t,
    cast_recover,
    cast_tell,
    cast_whole,
)
from nautilus.core.clock cimport clock_open, clock_read, clock_state_t
from nautilus.core.counters cimport counter_get, counter_increment, counter_t, counters_close, counters_open
from nautilus.core.hashmap cimport map_close, map_delete, map_find, map_open, map_put, map_t
from nautilus.core.histogram cimport histogram_close, histogram_open, histogram_record, histogram_t
from nautilus.core.pool cimport pool_at, pool_close, pool_give, pool_open, pool_t, pool_take
from nautilus.core.wake cimport wake_now
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef clock_state_t clock
clock_open(&clock, -1)


cdef inline int64_t machine_ns() noexcept nogil:
    """The system's own clock: two processes that have just begun agree by it to some tens of nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


def stalls(int64_t[::1] out, int64_t length_ns, int64_t threshold_ns):
    """Reads the clock for `length_ns`; gaps above the threshold go to `out`. How many there were, and the time taken."""
    cdef int64_t start, last, now
    cdef Py_ssize_t found = 0
    with nogil:
        start = last = clock_read(&clock)
        while last - start < length_ns:
            now = clock_read(&clock)
            if now - last > threshold_ns:
                if found < out.shape[0]:
                    out[found] = now - last
                found += 1
            last = now
    return found, last - start


def clock_reads(int64_t count):
    """`count` readings."""
    cdef int64_t start, i, total = 0
    with nogil:
        start = clock_read(&clock)
        for i in range(count):
            total ^= clock_read(&clock)
        start = clock_read(&clock) - start
    return start, total


def histogram_records(const int64_t[::1] values):
    """One record of each value; also the number of values counted."""
    cdef histogram_t* histogram = histogram_open(3_600_000_000_000)
    cdef int64_t start
    cdef Py_ssize_t i
    if histogram is NULL:
        raise MemoryError
    with nogil:
        for i in range(values.shape[0]):        # touch the pages first
            histogram_record(histogram, values[i])
        start = clock_read(&clock)
        for i in range(values.shape[0]):
            histogram_record(histogram, values[i])
        start = clock_read(&clock) - start
    counted = histogram.total
    histogram_close(histogram)
    return start, counted


def counter_increments(int64_t count):
    """`count` increments, each stored; also the counter's value."""
    cdef counter_t* table = counters_open(1)
    cdef int64_t start, i
    if table is NULL:
        raise MemoryError
    with nogil:
        start = clock_read(&clock)
        for i in range(count):
            counter_increment(table)
        start = clock_read(&clock) - start
    value = counter_get(table)
    counters_close(table, 1)
    return start, value


def pool_pairs(uint32_t live, const uint32_t[::1] picks):
    """Gives a random live record of 32 bytes back and takes another, once a pick; also the number in use."""
    cdef pool_t pool
    cdef int64_t start
    cdef Py_ssize_t i
    cdef uint32_t[::1] held
    import numpy
    held = numpy.zeros(live, numpy.uint32)
    if pool_open(&pool, 32, live, False) != 0:
        raise MemoryError
    with nogil:
        for i in range(live):
            held[i] = pool_take(&pool)
            (<uint64_t*>pool_at(&pool, held[i]))[0] = i
        start = clock_read(&clock)
        for i in range(picks.shape[0]):
            pool_give(&pool, held[picks[i]])
            held[picks[i]] = pool_take(&pool)
            (<uint64_t*>pool_at(&pool, held[picks[i]]))[1] = i
        start = clock_read(&clock) - start
    used = pool.used
    pool_close(&pool)
    return start, used


def malloc_pairs(uint32_t live, const uint32_t[::1] picks):
    """The same with `malloc` and `free`; also the number in use."""
    cdef int64_t start
    cdef Py_ssize_t i
    cdef uint64_t** held = <uint64_t**>malloc(live * sizeof(void*))
    cdef uint32_t used = 0
    if held is NULL:
        raise MemoryError
    with nogil:
        for i in range(live):
            held[i] = <uint64_t*>malloc(32)
            held[i][0] = i
            used += 1
        start = clock_read(&clock)
        for i in range(picks.shape[0]):
            free(held[picks[i]])
            held[picks[i]] = <uint64_t*>malloc(32)
            held[picks[i]][1] = i
        start = clock_read(&clock) - start
        for i in range(live):
            free(held[i])
        free(held)
    return start, used


def empty_pairs(uint32_t live, const uint32_t[::1] picks):
    """The same loop with records that stay: what finding and writing one of them costs."""
    cdef int64_t start
    cdef Py_ssize_t i
    cdef uint32_t held_now
    cdef uint64_t[:, ::1] records
    cdef uint32_t[::1] held
    import numpy
    held = numpy.arange(live, dtype=numpy.uint32)
    records = numpy.zeros((live, 4), numpy.uint64)
    with nogil:
        start = clock_read(&clock)
        for i in range(picks.shape[0]):
            held_now = held[picks[i]]
            records[held_now, 1] = i
        start = clock_read(&clock) - start
    return start, live


def map_operations(uint64_t max_entries, const uint8_t[::1] what, const uint64_t[::1] keys, Py_ssize_t untimed):
    """Carries out 0 find, 1 put, 2 delete on each key; the first `untimed` ones prepare.

    Returns nanoseconds, entries left, and how many finds and deletes met their key.
    """
    cdef map_t map
    cdef int64_t start = 0
    cdef uint64_t met = 0
    cdef Py_ssize_t i
    if map_open(&map, max_entries) != 0:
        raise MemoryError
    with nogil:
        for i in range(keys.shape[0]):
            if i == untimed:
                start = clock_read(&clock)
            if what[i] == 1:
                map_put(&map, keys[i], <uint32_t>i)
            elif what[i] == 0:
                met += map_find(&map, keys[i]) != NULL
            else:
                met += map_delete(&map, keys[i]) != 0xFFFFFFFFU
        start = clock_read(&clock) - start
    left = map.count
    map_close(&map)
    return start, left, met


def chase(const int64_t[::1] chain, int64_t place, int64_t count):
    """Nanoseconds of all reads, each of a place that the one before it named; and the last place."""
    cdef int64_t start, i
    with nogil:
        start = clock_read(&clock)
        for i in range(count):
            place = chain[place]
        start = clock_read(&clock) - start
    return start, place


def broadcast_send(Writer ring not None, int64_t first, int64_t count, int64_t batch, uint64_t ahead):
    """Records of 64 bytes, one a frame, `batch` to a publishing; word w of record s holds s + w * SPREAD.

    No further ahead of the slowest reader in a slot than `ahead` bytes. Returns nanoseconds.
    """
    cdef cast_writer_t* w = &ring.writer
    cdef int64_t start, s, done = 0
    cdef uint64_t* words
    cdef int i
    with nogil:
        start = clock_read(&clock)
        while done < count:
            for s in range(first + done, first + min(done + batch, count)):
                words = <uint64_t*>cast_claim(w, 64)
                for i in range(8):
                    words[i] = <uint64_t>s + <uint64_t>i * <uint64_t>0x9E3779B97F4A7C15
                cast_commit(w, 64)
            cast_publish(w)
            cast_ring(w)
            done += batch
            while broadcast_slowest(w) > ahead:
                sched_yield()
        start = clock_read(&clock) - start
    return start


cdef uint64_t broadcast_slowest(cast_writer_t* w) noexcept nogil:
    cdef uint64_t most = 0, lag
    cdef int i
    for i in range(CAST_SLOTS):
        if w.shared.slots[i].holder:
            lag = w.next - w.shared.slots[i].cursor
            if lag > most:
                most = lag
    return most


def broadcast_timed(list rings not None, int64_t[:, ::1] nanos, const uint64_t[::1] frame, int64_t spin_ns):
    """Read one frame for each column, each of 16 words: as `frame`, but for word 8, when it was due, and 9, its number.

    `rings` are readers of one ring, with a row each; what wakes one wakes this thread, and then all of them read.
    `nanos`: from when a frame was due until it was copied and found whole. Waits by spinning for a while, then asleep.
    Returns how many frames were not what they must be.
    """
    cdef cast_reader_t* r
    cdef cast_reader_t* places[64]
    cdef Py_ssize_t done[64]
    cdef Reader ring = rings[0]
    cdef uint64_t[16] copy
    cdef Py_ssize_t readers = len(rings), left = nanos.shape[0] * nanos.shape[1], i, before
    cdef uint32_t length = 0
    cdef uint64_t wrong, bad = 0
    cdef const char* place
    cdef int w
    if readers != nanos.shape[0] or readers > 64:
        raise ValueError(f"broadcast_timed: {readers} readers, {nanos.shape[0]} rows")
    ring.settle()
    for i in range(readers):
        places[i], done[i] = &(<Reader?>rings[i]).reader, 0
    with nogil:
        while left > 0:
            before = left
            for i in range(readers):
                r = places[i]
                while done[i] < nanos.shape[1]:
                    place = cast_peek(r, &length)
                    if place == NULL:
                        break
                    memcpy(copy, place, 128)
                    if not cast_whole(r, r.position):
                        cast_recover(r, True)
                        continue
                    cast_pass(r, length)
                    nanos[i, done[i]] = machine_ns() - <int64_t>copy[8]
                    wrong = (length != 128) | (copy[9] ^ <uint64_t>done[i])
                    for w in range(16):
                        if w != 8 and w != 9:
                            wrong |= copy[w] ^ frame[w]
                    bad += wrong != 0
                    done[i] += 1
                    left -= 1
                cast_tell(r)
            if left == before and not (spin_ns and ring.spun(wake_now(), spin_ns)):
                ring.slept(100_000_000)
    return bad


cdef extern from *:
    """
    #include <limits.h>
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static void word_wait(uint32_t *word, uint32_t seen)
    {
        struct timespec most = {1, 0};
        syscall(SYS_futex, word, FUTEX_WAIT, seen, &most, NULL, 0);
    }
    static void word_wake(uint32_t *word)
    {
        syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    static uint32_t word_get(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
    static void word_set(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
    """
    void word_wait(uint32_t* word, uint32_t seen) noexcept nogil
    void word_wake(uint32_t* word) noexcept nogil
    uint32_t word_get(const uint32_t* word) noexcept nogil
    void word_set(uint32_t* word, uint32_t value) noexcept nogil


def futex_timed(uint32_t[::1] word, const int64_t[::1] due, int64_t[::1] nanos):
    """Sleep until a shared word is the next number, for each place: from `due` until this thread runs. No more than that.

    It is what the system takes to wake sleepers, whatever they read then.
    """
    cdef Py_ssize_t i
    cdef uint32_t seen
    with nogil:
        for i in range(nanos.shape[0]):
            while True:
                seen = word_get(&word[0])
                if seen > <uint32_t>i:
                    break
                word_wait(&word[0], seen)
            nanos[i] = machine_ns() - due[i]


def futex_call(uint32_t[::1] word):
    """Make the word one more, and wake all who sleep on it."""
    word_set(&word[0], word_get(&word[0]) + 1)
    word_wake(&word[0])


def broadcast_wrong(const uint64_t[:, ::1] records, Py_ssize_t count, uint64_t first):
    """How many of these records of `broadcast_send` are not what they must be, the first of them being `first`."""
    cdef Py_ssize_t i
    cdef int w
    cdef uint64_t wrong, bad = 0
    with nogil:
        for i in range(count):
            wrong = 0
            for w in range(8):
                wrong |= records[i, w] ^ (first + <uint64_t>i + <uint64_t>w * <uint64_t>0x9E3779B97F4A7C15)
            bad += wrong != 0
    return bad
