"""One writer thread, any number of readers in other processes. Frames of any length in a ring that nobody waits for.

    writer: claim -> write -> commit -> publish      reader: peek -> copy -> whole? -> pass

    data   [ .... oldest whole frame | frame | frame ..... tail | being written . intent ]
                                                 ^ each reader's own position

A frame is a prefix of eight bytes (length, and a seal made of length and position) and its bytes, rounded up to eight.
Positions count bytes since the ring was made and never come again. Before the writer touches bytes it moves `intent`
behind them; a reader copies, then looks at `intent`: what lies more than the ring's capacity before it may have been
written over, and its copy counts for nothing. So a torn frame is never handed out, and no reader ever holds the writer
up (the scheme of Agrona's BroadcastTransmitter, M. Thompson). Only what lies before `tail` is there: a writer that is
killed leaves nothing half written in sight, since the tail moves last.

`intent` moves by whole blocks, a 256th of the ring, so that a frame costs one store that other processors look at. For
each block a mark keeps where its first frame begins and how many came before it: a reader that was lapped goes on at
the oldest frame that is whole and knows how many bytes and frames it has missed.

Readers may take a slot: where they are is seen there, and the doorbell (a FIFO by the ring's name) of one that sleeps
in a poll. Readers that sleep on the futex need none: they share one word. A patient one, which lets frames gather while
its doorbell is not armed, has it rung all the same where they fill a quarter of the ring.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BROADCAST_H
    #define NAUTILUS_BROADCAST_H
    #include <errno.h>
    #include <fcntl.h>
    #include <limits.h>
    #include <linux/futex.h>
    #include <pthread.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    #ifndef NAUTILUS_DEBUG
    #define NAUTILUS_DEBUG 0
    #endif
    #ifndef MADV_POPULATE_READ
    #define MADV_POPULATE_READ 22       /* Linux 5.14 */
    #endif
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif

    #define CAST_BLOCKS 256
    #define CAST_SLOTS 63
    #define CAST_FUTEX (1ULL << 63)     /* in `waiting`: somebody sleeps on the futex; the other bits: slots in a poll */
    #define CAST_SEAL 0x6E617574U
    #define CAST_PAD 0xFFFFFFFFU        /* length of what fills the end of the ring */
    #define CAST_AHEAD 1024             /* bytes; see cast_own_ahead */
    #define CAST_BARRIER 1              /* MEMBARRIER_CMD_GLOBAL */
    #define CAST_HEAD 16384             /* bytes before the data */

    typedef struct cast_mark_t {
        uint64_t position, number;      /* where the block's first frame begins, frames before it */
    } cast_mark_t;

    typedef struct cast_slot_t {
        uint64_t holder;                /* pid, above it the low half of its start time; 0: free */
        uint64_t cursor;                /* up to where it has read */
        uint64_t missed;                /* bytes that it was too late for */
        uint32_t serial;                /* of its doorbell among those of its process; 0: it has none */
        uint32_t patient;               /* not 0: its doorbell is rung too when it is a quarter of the ring behind */
        char     pad[128 - 32];
    } cast_slot_t;

    typedef struct broadcast_t {
        region_t region;                /* its size says how much the ring holds */
        uint32_t sleeps;                /* not 0: some reader sleeps at times, so the writer looks whether one does */
        char     pad0[128 - 4];
        uint64_t tail;                  /* what lies before it is there */
        char     pad1[128 - 8];
        uint64_t intent;                /* what lies less than the capacity before it is not written over */
        char     pad2[128 - 8];
        uint64_t waiting;               /* who is to be woken */
        uint32_t bell, unused2;         /* the futex word */
        char     pad3[128 - 16];
        cast_mark_t marks[CAST_BLOCKS];
        cast_slot_t slots[CAST_SLOTS + 1];
        char     pad4[CAST_HEAD - 640 - 16 * CAST_BLOCKS - 128 * (CAST_SLOTS + 1)];
        char     data[];
    } broadcast_t;
    _Static_assert(sizeof(broadcast_t) == CAST_HEAD, "broadcast_t");

    typedef struct cast_writer_t {
        broadcast_t *shared;
        uint64_t capacity, mask, block_bytes, most;
        uint64_t next, number;          /* where the next frame begins, frames before it */
        uint64_t quick;                 /* a frame that ends before here needs no more than its bytes */
        uint64_t block, intent, tail;
        uint64_t thread, misused;       /* debug builds */
        uint64_t wakes;                 /* times that somebody was woken */
        uint64_t rung[CAST_SLOTS];      /* holder whose doorbell is open here */
        uint32_t serials[CAST_SLOTS];
        int32_t  bells[CAST_SLOTS];
        const char *path;
    } cast_writer_t;

    static inline uint64_t cast_room(uint64_t length) { return (length + 15) & ~7ULL; }

    static inline uint64_t cast_prefix(uint64_t position, uint32_t length)
    {
        return (uint64_t)((uint32_t)(position >> 3) ^ length ^ CAST_SEAL) << 32 | length;
    }

    static inline char *cast_place(const cast_writer_t *w, uint64_t position)
    {
        return w->shared->data + (position & w->mask);
    }

    /* Whether a region of this many bytes can be such a ring; nothing else of it is believed. */
    static inline int cast_sound(uint64_t bytes)
    {
        uint64_t capacity = bytes - CAST_HEAD;
        return bytes > CAST_HEAD && capacity >= 65536 && (capacity & (capacity - 1)) == 0;
    }

    static void cast_bell_name(char *out, size_t size, const char *path, uint64_t holder, uint32_t serial)
    {
        snprintf(out, size, "%s.bell-%u-%u", path, (unsigned)(holder & 0xFFFFFFFF), (unsigned)serial);
    }

    static uint64_t cast_holder(int32_t pid, uint64_t start)
    {
        return (start & 0xFFFFFFFF) << 32 | (uint32_t)pid;
    }

    static int cast_gone(uint64_t holder)
    {
        return cast_holder((int32_t)(holder & 0xFFFFFFFF), process_start((int32_t)(holder & 0xFFFFFFFF))) != holder;
    }

    /* Slots of readers that are no more become free, and their doorbells go; how many. */
    static int cast_tend(broadcast_t *s, const char *path)
    {
        int freed = 0;
        for (int i = 0; i < CAST_SLOTS; i++) {
            uint64_t holder = __atomic_load_n(&s->slots[i].holder, __ATOMIC_ACQUIRE);
            if (holder == 0 || !cast_gone(holder))
                continue;
            uint32_t serial = __atomic_load_n(&s->slots[i].serial, __ATOMIC_ACQUIRE);
            if (serial) {
                char name[PATH_MAX];
                cast_bell_name(name, sizeof name, path, holder, serial);
                unlink(name);
            }
            freed += __atomic_compare_exchange_n(&s->slots[i].holder, &holder, 0, 0, __ATOMIC_ACQ_REL,
                                                 __ATOMIC_RELAXED);
        }
        return freed;
    }

    /* A slot for this process; NULL: all are held by readers that live. */
    static cast_slot_t *cast_take_slot(broadcast_t *s, const char *path, uint32_t serial, uint64_t cursor)
    {
        int32_t pid = (int32_t)getpid();
        uint64_t holder = cast_holder(pid, process_start(pid));
        for (int turn = 0; turn < 2; turn++) {
            for (int i = 0; i < CAST_SLOTS; i++) {
                uint64_t nobody = 0;
                cast_slot_t *slot = &s->slots[i];
                if (__atomic_load_n(&slot->holder, __ATOMIC_RELAXED))
                    continue;
                if (__atomic_compare_exchange_n(&slot->holder, &nobody, holder, 0, __ATOMIC_ACQ_REL,
                                                __ATOMIC_RELAXED)) {
                    __atomic_store_n(&slot->serial, serial, __ATOMIC_RELEASE);
                    __atomic_store_n(&slot->missed, 0, __ATOMIC_RELAXED);
                    __atomic_store_n(&slot->patient, 0, __ATOMIC_RELAXED);
                    __atomic_store_n(&slot->cursor, cursor, __ATOMIC_RELEASE);
                    return slot;
                }
            }
            if (cast_tend(s, path) == 0)
                break;
        }
        return NULL;
    }

    static void cast_leave_slot(cast_slot_t *slot)
    {
        __atomic_store_n(&slot->serial, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&slot->holder, 0, __ATOMIC_RELEASE);
    }

    /* ---- Writer */

    static void cast_open(cast_writer_t *w, broadcast_t *shared, const char *path)
    {
        memset(w, 0, sizeof *w);
        w->shared = shared;
        w->capacity = shared->region.bytes - CAST_HEAD;
        w->mask = w->capacity - 1;
        w->block_bytes = w->capacity / CAST_BLOCKS;
        w->most = w->capacity / 8 - 8;
        w->block = UINT64_MAX;
        w->path = path;
        for (int i = 0; i < CAST_SLOTS; i++)
            w->bells[i] = -1;
    }

    static inline void cast_publish(cast_writer_t *w)
    {
        w->tail = w->next;
        __atomic_store_n(&w->shared->tail, w->next, __ATOMIC_RELEASE);
    }

    static void cast_ring_slot(cast_writer_t *w, int i)
    {
        cast_slot_t *slot = &w->shared->slots[i];
        uint64_t holder = __atomic_load_n(&slot->holder, __ATOMIC_ACQUIRE);
        uint32_t serial = __atomic_load_n(&slot->serial, __ATOMIC_ACQUIRE);
        if (w->bells[i] >= 0 && (w->rung[i] != holder || w->serials[i] != serial)) {
            close(w->bells[i]);
            w->bells[i] = -1;
        }
        if (holder == 0 || serial == 0)
            return;
        if (w->bells[i] < 0) {
            char name[PATH_MAX];
            struct stat status;
            cast_bell_name(name, sizeof name, w->path, holder, serial);
            /* For both ways: no SIGPIPE where the reader has gone. */
            int fd = open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
            if (fd < 0)
                return;
            if (fstat(fd, &status) != 0 || !S_ISFIFO(status.st_mode)) {
                close(fd);
                return;
            }
            w->bells[i] = fd;
            w->rung[i] = holder;
            w->serials[i] = serial;
        }
        if (write(w->bells[i], "", 1) < 0)
            errno = 0;                  /* full: it has a wake-up waiting already */
    }

    /* Those that let frames gather are called before these are a danger to each other: looked at once a block. */
    static void cast_heed(cast_writer_t *w)
    {
        for (int i = 0; i < CAST_SLOTS; i++) {
            cast_slot_t *slot = &w->shared->slots[i];
            uint64_t behind;
            if (!__atomic_load_n(&slot->patient, __ATOMIC_RELAXED))
                continue;
            behind = w->tail - __atomic_load_n(&slot->cursor, __ATOMIC_ACQUIRE);
            if (behind >= w->capacity / 4 && behind <= UINT64_MAX / 2) {
                w->wakes++;
                cast_ring_slot(w, i);
            }
        }
    }

    /* The ways that are rare: into another block, past the end of the ring. */
    static __attribute__((noinline)) void cast_advance(cast_writer_t *w, uint64_t room)
    {
        broadcast_t *s = w->shared;
        uint64_t at = w->next & w->mask, pad = at + room > w->capacity ? w->capacity - at : 0;
        uint64_t end = w->next + pad + room;
        if (w->tail != w->next)
            cast_publish(w);            /* of a batch: what is whole does not wait for what may be much more */
        if (end > w->intent) {
            w->intent = (end + w->block_bytes - 1) & ~(w->block_bytes - 1);
            __atomic_store_n(&s->intent, w->intent, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_RELEASE);    /* seen before any byte behind the old one changes */
        }
        if (pad) {
            *(uint64_t *)cast_place(w, w->next) = cast_prefix(w->next, CAST_PAD);
            w->next += pad;
        }
        uint64_t block = w->next / w->block_bytes;
        if (block != w->block) {
            cast_mark_t *mark = &s->marks[block % CAST_BLOCKS];
            __atomic_store_n(&mark->position, UINT64_MAX, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_RELEASE);
            __atomic_store_n(&mark->number, w->number, __ATOMIC_RELAXED);
            __atomic_store_n(&mark->position, w->next, __ATOMIC_RELEASE);
            w->block = block;
            cast_heed(w);
        }
        w->quick = w->next + room <= (block + 1) * w->block_bytes ? (block + 1) * w->block_bytes : 0;
    }

    /* Place for a frame; NULL where it is longer than `most`. Nothing is seen of it before `cast_publish`. */
    static inline char *cast_claim(cast_writer_t *w, uint64_t length)
    {
        uint64_t room = cast_room(length);
        if (NAUTILUS_DEBUG) {
            uint64_t self = (uint64_t)pthread_self();
            if (w->thread == 0)
                w->thread = self;
            w->misused += w->thread != self;
        }
        if (__builtin_expect(length > w->most, 0))
            return NULL;
        if (__builtin_expect(w->next + room > w->quick, 0))
            cast_advance(w, room);
        return cast_place(w, w->next) + 8;
    }

    /* Own the lines before they are written, so that a store does not wait for a reader's core to give them up. */
    static inline void cast_own_ahead(const cast_writer_t *w)
    {
    #if defined(__x86_64__)                             /* __builtin_prefetch would ask for a shared line */
        __asm__ volatile("prefetchw %0" : : "m"(*(const char *)cast_place(w, w->next + CAST_AHEAD)));
        __asm__ volatile("prefetchw %0" : : "m"(*(const char *)cast_place(w, w->next + CAST_AHEAD + 64)));
    #endif
    }

    static inline void cast_commit(cast_writer_t *w, uint64_t length)
    {
        *(uint64_t *)cast_place(w, w->next) = cast_prefix(w->next, (uint32_t)length);
        w->next += cast_room(length);
        w->number++;
        cast_own_ahead(w);
    }

    static __attribute__((noinline)) void cast_wake(cast_writer_t *w)
    {
        broadcast_t *s = w->shared;
        uint64_t waiting = __atomic_exchange_n(&s->waiting, 0, __ATOMIC_ACQ_REL);
        w->wakes += waiting != 0;
        if (waiting & CAST_FUTEX) {
            __atomic_add_fetch(&s->bell, 1, __ATOMIC_RELEASE);
            syscall(SYS_futex, &s->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        }
        for (waiting &= ~CAST_FUTEX; waiting; waiting &= waiting - 1)
            cast_ring_slot(w, __builtin_ctzll(waiting));
    }

    /* Wake who sleeps. After publishing. Where no reader ever sleeps, it costs a look at a line that never changes. */
    static inline void cast_ring(cast_writer_t *w)
    {
        if (__builtin_expect(__atomic_load_n(&w->shared->sleeps, __ATOMIC_RELAXED) == 0, 1))
            return;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(&w->shared->waiting, __ATOMIC_RELAXED))
            cast_wake(w);
    }

    /* Wake everybody who sleeps at the ring of a writer that is no more. */
    static void cast_call(broadcast_t *s, const char *path)
    {
        cast_writer_t w;
        cast_open(&w, s, path);
        cast_wake(&w);
        for (int i = 0; i < CAST_SLOTS; i++)
            if (w.bells[i] >= 0)
                close(w.bells[i]);
    }

    static void cast_prefault(broadcast_t *s, uint64_t bytes, int write)
    {
        madvise(s, bytes, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    }
    #endif
    """
    ctypedef struct cast_slot_t:
        uint64_t holder
        uint64_t cursor
        uint64_t missed
        uint32_t serial
        uint32_t patient
    ctypedef struct broadcast_t:
        region_t region
        uint64_t tail
        uint64_t intent
        uint64_t waiting
        cast_slot_t* slots
    ctypedef struct cast_writer_t:
        broadcast_t* shared
        uint64_t capacity
        uint64_t most
        uint64_t next
        uint64_t number
        uint64_t tail
        uint64_t misused
        uint64_t wakes
        int32_t* bells
    enum:
        CAST_SLOTS
        CAST_HEAD
    bint cast_sound(uint64_t size) noexcept nogil
    void cast_prefault(broadcast_t* shared, uint64_t size, bint write) noexcept nogil
    # Slots of readers that are no more become free, and their doorbells go; how many.
    int cast_tend(broadcast_t* shared, const char* path) noexcept nogil
    # A slot for this process; NULL: all are held by readers that live.
    cast_slot_t* cast_take_slot(broadcast_t* shared, const char* path, uint32_t serial,
                                uint64_t cursor) noexcept nogil
    void cast_leave_slot(cast_slot_t* slot) noexcept nogil
    void cast_open(cast_writer_t* writer, broadcast_t* shared, const char* path) noexcept nogil
    # Place for a frame; NULL where it is longer than `most`. Nothing is seen of it before `cast_publish`.
    char* cast_claim(cast_writer_t* writer, uint64_t length) noexcept nogil
    void cast_commit(cast_writer_t* writer, uint64_t length) noexcept nogil
    # Show readers what was committed; wake who sleeps.
    void cast_publish(cast_writer_t* writer) noexcept nogil
    void cast_ring(cast_writer_t* writer) noexcept nogil
    # Wake everybody who sleeps at the ring of a writer that is no more.
    void cast_call(broadcast_t* shared, const char* path) noexcept nogil

cdef enum:
    BROADCAST_KIND = 0x54534342     # region kind "BCST"
    BROADCAST_LAYOUT = 1


cdef class Writer:
    cdef cast_writer_t writer
    cdef bytes path
    cdef int add(self, object frame) except -1
    cdef char* claimed(self, Py_ssize_t size) noexcept
    cdef int refuse(self, Py_ssize_t size) except -1
    cdef int check(self) except -1


# Every slot that a reader holds, as `Held`.
cdef list held_slots(broadcast_t* shared, uint64_t newest)
