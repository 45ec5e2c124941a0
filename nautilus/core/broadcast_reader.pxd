"""One thread a reader, any number of them. The reader's side of the ring in broadcast.pxd, whose page says how.

A reader peeks, copies, asks whether what it copied is whole, and only then passes. What it finds in the file it does
not believe: lengths are held against the ring, positions only grow.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.broadcast cimport broadcast_t, cast_slot_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BROADCAST_READER_H
    #define NAUTILUS_BROADCAST_READER_H

    #define CAST_NEAR 64                /* frames that it is no longer to walk past than to look for */

    typedef struct cast_reader_t {
        broadcast_t *shared;
        const char *data;
        uint64_t mask, capacity, shift;
        uint64_t position, seen;        /* the next frame, the tail as last seen */
        uint64_t number;                /* frames before it */
        uint64_t lapped, missed_bytes, missed_frames, damaged;
        cast_slot_t *slot;
    } cast_reader_t;

    static void cast_attach(cast_reader_t *r, broadcast_t *shared)
    {
        memset(r, 0, sizeof *r);
        r->shared = shared;
        r->data = shared->data;
        r->capacity = shared->region.bytes - CAST_HEAD;
        r->mask = r->capacity - 1;
        r->shift = (uint64_t)__builtin_ctzll(r->capacity / CAST_BLOCKS);
    }

    static inline uint64_t cast_tail(const cast_reader_t *r)
    {
        return __atomic_load_n(&r->shared->tail, __ATOMIC_ACQUIRE) & ~7ULL;
    }

    /* Whether what was read since the last `cast_peek` is what was written there. */
    static inline int cast_whole(const cast_reader_t *r, uint64_t position)
    {
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        return __atomic_load_n(&r->shared->intent, __ATOMIC_RELAXED) - position <= r->capacity;
    }

    /* The first frame of the first block at or behind `from` that is whole: its position, and frames before it. */
    static int cast_find_mark(const cast_reader_t *r, uint64_t from, uint64_t tail, uint64_t *position, uint64_t *number)
    {
        uint64_t block = from >> r->shift;
        for (int i = 0; i <= CAST_BLOCKS && block <= tail >> r->shift; i++, block++) {
            const cast_mark_t *mark = &r->shared->marks[block % CAST_BLOCKS];
            uint64_t at = __atomic_load_n(&mark->position, __ATOMIC_ACQUIRE);
            uint64_t before = __atomic_load_n(&mark->number, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (at != __atomic_load_n(&mark->position, __ATOMIC_RELAXED) || at >> r->shift != block || at & 7)
                continue;
            if (at >= from && at <= tail) {
                *position = at;
                *number = before;
                return 1;
            }
        }
        return 0;
    }

    /* Go to the oldest whole frame at or behind `from`; where there is none, to the tail. */
    static __attribute__((noinline)) void cast_seek(cast_reader_t *r, uint64_t from)
    {
        uint64_t position = 0, number = 0;
        for (int turn = 0;; turn++) {
            uint64_t tail = cast_tail(r), intent = __atomic_load_n(&r->shared->intent, __ATOMIC_ACQUIRE);
            uint64_t bound = intent > r->capacity ? intent - r->capacity : 0;
            bound += (uint64_t)(turn / 2) << r->shift;  /* overtaken again meanwhile: leave more room */
            if (bound < from)
                bound = from;
            if (turn == CAST_BLOCKS || bound >= tail || !cast_find_mark(r, bound, tail, &position, &number)) {
                position = tail;
                number = r->number;
                break;
            }
            if (cast_whole(r, position))
                break;
        }
        r->position = position;
        r->number = number;
        r->seen = cast_tail(r);
        if (r->seen - position > r->capacity)
            r->seen = position;         /* looked at again by the next peek */
    }

    /* It was lapped (`late`), or found what no writer wrote: go on where frames are whole, and count what is missed. */
    static __attribute__((noinline)) void cast_recover(cast_reader_t *r, int late)
    {
        uint64_t position = r->position, number = r->number;
        if (late)
            r->lapped++;
        else
            r->damaged++;
        cast_seek(r, position + 8);     /* never back, whatever a damaged file says */
        if (r->position - position <= UINT64_MAX / 2)
            r->missed_bytes += r->position - position;
        if (r->number - number <= UINT64_MAX / 2)
            r->missed_frames += r->number - number;
    }

    /* The next frame, in place; NULL: none. It counts only if `cast_whole` says so after it was copied. */
    static inline const char *cast_peek(cast_reader_t *r, uint32_t *length)
    {
        for (;;) {
            uint64_t left = r->seen - r->position;
            if (left == 0) {
                r->seen = cast_tail(r);
                left = r->seen - r->position;
                if (left == 0)
                    return NULL;
                if (__builtin_expect(left > r->capacity, 0)) {
                    cast_recover(r, (int64_t)left > 0);
                    continue;
                }
            }
            uint64_t at = r->position & r->mask;
            uint64_t prefix = __atomic_load_n((const uint64_t *)(r->data + at), __ATOMIC_RELAXED);
            uint32_t size = (uint32_t)prefix;
            int sealed = prefix == cast_prefix(r->position, size);
            uint64_t room = cast_room(size);
            if (__builtin_expect(sealed && room <= left && at + room <= r->capacity, 1)) {
                *length = size;
                return r->data + at + 8;
            }
            if (!cast_whole(r, r->position))
                cast_recover(r, 1);
            else if (sealed && size == CAST_PAD && r->capacity - at <= left)
                r->position += r->capacity - at;
            else
                cast_recover(r, 0);
        }
    }

    static inline void cast_pass(cast_reader_t *r, uint32_t length)
    {
        r->position += cast_room(length);
        r->number++;
    }

    static inline void cast_tell(cast_reader_t *r)
    {
        if (r->slot) {
            __atomic_store_n(&r->slot->cursor, r->position, __ATOMIC_RELEASE);
            __atomic_store_n(&r->slot->missed, r->missed_bytes, __ATOMIC_RELAXED);
        }
    }

    static inline int cast_waiting(cast_reader_t *r)
    {
        return r->seen != r->position || cast_tail(r) != r->position;
    }

    /* Begin with the oldest frame, or behind the newest. */
    static void cast_join(cast_reader_t *r, int oldest)
    {
        uint32_t length;
        cast_seek(r, 0);
        if (!oldest) {
            uint64_t tail = cast_tail(r);
            uint64_t back = tail >> r->shift, position, number;
            /* The frames behind the last mark are counted, so that the reader knows its number. */
            for (int i = 0; i < CAST_BLOCKS && back != UINT64_MAX; i++, back--)
                if (cast_find_mark(r, back << r->shift, tail, &position, &number) && position >= r->position) {
                    r->position = position;
                    r->number = number;
                    r->seen = tail;
                    break;
                }
            while (r->position < tail && cast_peek(r, &length) && r->position < tail)
                cast_pass(r, length);
        }
        r->lapped = r->missed_bytes = r->missed_frames = r->damaged = 0;
    }

    /* Before its first sleep a reader makes sure that the writer looks for sleepers from now on: every processor has
       passed a barrier since the wish was written. 2 says that this was done. */
    static void cast_settle(broadcast_t *s)
    {
        if (__atomic_load_n(&s->sleeps, __ATOMIC_ACQUIRE) == 2)
            return;
        __atomic_store_n(&s->sleeps, 1, __ATOMIC_SEQ_CST);
        if (syscall(SYS_membarrier, CAST_BARRIER, 0, 0) != 0) {
            struct timespec most = {0, 2000000};        /* refused: stores are seen far sooner than this */
            nanosleep(&most, NULL);
        }
        __atomic_store_n(&s->sleeps, 2, __ATOMIC_RELEASE);
    }

    /* The number of the oldest frame that begins a block and is whole; where there is none, that of this reader. */
    static uint64_t cast_oldest(const cast_reader_t *r)
    {
        uint64_t intent = __atomic_load_n(&r->shared->intent, __ATOMIC_ACQUIRE), position, number;
        uint64_t bound = intent > r->capacity ? intent - r->capacity : 0;
        return cast_find_mark(r, bound, cast_tail(r), &position, &number) ? number : r->number;
    }

    /* Go to the frame of a number; 0: it is not there. Counts as missed what it goes past. */
    static int cast_go(cast_reader_t *r, uint64_t number)
    {
        uint32_t length;
        if (number < r->number || number - r->number > CAST_NEAR) {
            uint64_t tail = cast_tail(r), block = tail >> r->shift, position, before;
            int found = 0;
            for (int i = 0; i < CAST_BLOCKS && !found; i++, block--) {
                if (cast_find_mark(r, block << r->shift, tail, &position, &before) && before <= number) {
                    r->position = position;
                    r->number = before;
                    r->seen = tail;
                    found = cast_whole(r, position);
                    if (!found)
                        return 0;
                }
                if (block == 0)
                    break;
            }
            if (!found)
                return 0;
        }
        while (r->number < number && cast_peek(r, &length) && r->number < number)
            cast_pass(r, length);
        return r->number == number;
    }

    /* Say that this reader is about to sleep; then look again, then sleep. The bits are taken back by the writer alone. */
    static inline uint32_t cast_prepare(cast_reader_t *r, uint64_t bit)
    {
        uint32_t bell = __atomic_load_n(&r->shared->bell, __ATOMIC_ACQUIRE);
        __atomic_fetch_or(&r->shared->waiting, bit, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return bell;
    }

    static inline void cast_sleep(cast_reader_t *r, uint32_t bell, int64_t most_ns)
    {
        struct timespec most = {most_ns / 1000000000, most_ns % 1000000000};
        syscall(SYS_futex, &r->shared->bell, FUTEX_WAIT, bell, &most, NULL, 0);
    }

    /* A ring's file, to look at only: its writer may be dead, its name taken. NULL with errno. */
    static broadcast_t *cast_map_image(const char *path, uint32_t kind, uint32_t layout)
    {
        struct stat status;
        int fd = open(path, O_RDONLY | O_CLOEXEC), error = EINVAL;
        if (fd < 0)
            return NULL;
        broadcast_t *s = NULL;
        if (fstat(fd, &status) != 0)
            error = errno;
        else if (S_ISREG(status.st_mode) && status.st_size > CAST_HEAD) {
            void *place = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
            if (place == MAP_FAILED)
                error = errno;
            else
                s = (broadcast_t *)place;
        }
        close(fd);
        if (s && (__atomic_load_n(&s->region.magic, __ATOMIC_ACQUIRE) != REGION_MAGIC || s->region.kind != kind
                  || s->region.layout != layout || s->region.bytes != (uint64_t)status.st_size
                  || !cast_sound(s->region.bytes))) {
            munmap(s, (size_t)status.st_size);
            s = NULL;
        }
        errno = s ? 0 : error;
        return s;
    }
    #endif
    """
    ctypedef struct cast_reader_t:
        broadcast_t* shared
        uint64_t capacity
        uint64_t position
        uint64_t seen
        uint64_t number
        uint64_t lapped
        uint64_t missed_bytes
        uint64_t missed_frames
        uint64_t damaged
        cast_slot_t* slot
    const uint64_t CAST_FUTEX
    void cast_attach(cast_reader_t* reader, broadcast_t* shared) noexcept nogil
    # A ring's file, to look at only: its writer may be dead. NULL with errno.
    broadcast_t* cast_map_image(const char* path, uint32_t kind, uint32_t layout) noexcept nogil
    # Begin with the oldest frame, or behind the newest.
    void cast_join(cast_reader_t* reader, bint oldest) noexcept nogil
    # Go to the oldest whole frame that begins a block at or behind a position; where there is none, to the tail.
    void cast_seek(cast_reader_t* reader, uint64_t position) noexcept nogil
    # The next frame, in place; NULL: none. It counts only if `cast_whole` says so after it was copied.
    const char* cast_peek(cast_reader_t* reader, uint32_t* length) noexcept nogil
    bint cast_whole(const cast_reader_t* reader, uint64_t position) noexcept nogil
    # It did not: go on where frames are whole, and count what is missed.
    void cast_recover(cast_reader_t* reader, bint late) noexcept nogil
    void cast_pass(cast_reader_t* reader, uint32_t length) noexcept nogil
    # The number of the oldest frame that begins a block and is whole; go to the frame of a number, if it is there.
    uint64_t cast_oldest(const cast_reader_t* reader) noexcept nogil
    bint cast_go(cast_reader_t* reader, uint64_t number) noexcept nogil
    # Let the slot say where this reader is.
    void cast_tell(cast_reader_t* reader) noexcept nogil
    bint cast_waiting(cast_reader_t* reader) noexcept nogil
    uint64_t cast_tail(const cast_reader_t* reader) noexcept nogil
    # Once before the first sleep; then, each time: prepare, look again, sleep.
    void cast_settle(broadcast_t* shared) noexcept nogil
    uint32_t cast_prepare(cast_reader_t* reader, uint64_t bit) noexcept nogil
    void cast_sleep(cast_reader_t* reader, uint32_t bell, int64_t most_ns) noexcept nogil


cdef class Reader:
    cdef cast_reader_t reader
    cdef bytes path
    cdef readonly bint image
    cdef readonly uint64_t passed_over
    cdef bint settled
    cdef bytes copy_next(self)
    cdef Py_ssize_t copied(self, char* to, Py_ssize_t room, Py_ssize_t wide, Py_ssize_t skip, int kind) noexcept nogil
    cdef bint spun(self, int64_t begun, int64_t most_ns) noexcept nogil
    cdef bint slept(self, int64_t most_ns) noexcept nogil
    cdef int settle(self) except -1
    cdef int slot_number(self) noexcept
    cdef int leave(self) noexcept
    cdef int check(self) except -1
