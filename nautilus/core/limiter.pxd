"""Any process, any thread. Concurrency limits that learn, in a shared region; every step is atomic, nothing is allocated.

How many calls may be under way at once is learned from their latency against what it is with no queue (`base`)::

    at first                     twice the limit after each window, until a queue is seen
    at the end of each window    limit ← limit × 1.03 base ÷ mean latency + √limit ÷ 4, where the limit was made use of
    every so often               half the limit for two windows: what the latency is then is the new base

With more calls under way than the callee works on at once the quotient falls below one by just that share, so the limit
ends at its capacity and a small queue. The base is a mean too, never a minimum: with service times that vary, that would
lie below what any limit could reach. Time-outs and refusals of a busy callee take a tenth off. Latencies up to
`target_ns` are good whatever the base is.

A call belongs to one of four priorities, each with a share of the limit (see `nautilus.policy.shedding`). It is counted
in `under_way`, and has a slot that names its holder (see `holders`), so what a killed process held comes back; the count
is put right by the slots.

Ticket: start (units of 16 ns, 42 bits), priority (2), slot (12).
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.named_table cimport NamedTable, named_t

cdef extern from *:
    """
    #ifndef NAUTILUS_LIMITER_H
    #define NAUTILUS_LIMITER_H
    #include <math.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    enum { L_SAMPLED = 0, L_FAILED = 1, L_DROPPED = 2, L_LEFT_OUT = 3 };
    #define L_SLOTS 1024
    #define L_PRIORITIES 4
    #define L_SHED (-1)
    #define L_GONE (-1)
    #define L_START_MASK ((1ULL << 42) - 1)
    #define L_SCALE 1000                    /* limits are kept in thousandths */

    typedef struct limiter_settings_t {
        int64_t least, most, first;         /* of the limit */
        int64_t window_ns, least_samples;   /* of what is learned from; both have to be reached */
        int64_t base_every_ns;              /* between looks at the base; 0: never */
        int64_t target_ns;
        int64_t shares[L_PRIORITIES];       /* thousandths of the limit */
        int64_t fixed;                      /* 1: the limit is `first` */
        int64_t reserved[4];
    } limiter_settings_t;

    typedef struct limiter_t {
        uint64_t limit;                     /* thousandths; 0: not yet begun */
        uint64_t halved;                    /* for the base; 1: calls of the whole limit end, 2: it is measured */
        uint64_t before;                    /* in force in the last window; so many calls of it may be under way still */
        limiter_settings_t settings;
        char     pad1[256 - 24 - sizeof(limiter_settings_t)];
        uint64_t under_way, peak;           /* peak: of this window */
        char     pad2[128 - 16];
        uint64_t window_began;              /* ns; also who may end it */
        uint64_t samples, drops, sum_us, sum_us2;
        uint64_t base_us, look_at, look_wait;   /* when it is looked for again */
        uint64_t last_us;                   /* mean of the last window */
        uint64_t windows, mismatch, mismatches;
        uint64_t queued;                    /* 1: a queue has been seen, it is no longer the beginning */
        char     pad3[128 - 104];
        uint64_t admitted[L_PRIORITIES], shed[L_PRIORITIES];
        named_t  named;
        uint64_t slots[L_SLOTS];            /* start: 42, priority: 2, holder: 13 */
    } limiter_t;
    #define L_NAMED_AT offsetof(limiter_t, named)

    static inline int64_t l_setting(const int64_t *value) { return __atomic_load_n(value, __ATOMIC_RELAXED); }

    /* In thousandths: what has been learned, within what the settings allow now. */
    static inline int64_t limiter_limit(const limiter_t *l)
    {
        int64_t limit = (int64_t)word_peek(&l->limit);
        int64_t least = l_setting(&l->settings.least) * L_SCALE, most = l_setting(&l->settings.most) * L_SCALE;
        if (limit == 0 || l_setting(&l->settings.fixed))
            limit = l_setting(&l->settings.first) * L_SCALE;
        return limit < least ? least : limit > most ? most : limit;
    }

    static inline int64_t l_in_force(const limiter_t *l)
    {
        int64_t limit = limiter_limit(l), least = l_setting(&l->settings.least) * L_SCALE;
        return !word_peek(&l->halved) || l_setting(&l->settings.fixed) ? limit : limit / 2 < least ? least : limit / 2;
    }

    /* What a priority has beyond the limit it has beyond that of the last window too, where that was larger: calls of then
       are under way, and must not keep out who goes first. */
    static inline int64_t l_room(const limiter_t *l, int priority)
    {
        int64_t share = l_setting(&l->settings.shares[priority]), limit = l_in_force(l), within = limit, room;
        if (share > L_SCALE && (int64_t)word_peek(&l->before) > limit)
            within = (int64_t)word_peek(&l->before);
        room = (limit * share + (within - limit) * L_SCALE) / (L_SCALE * L_SCALE);
        return room < 1 ? 1 : room > L_SLOTS ? L_SLOTS : room;
    }

    static inline uint64_t l_slot_word(int64_t ticket, uint32_t holder)
    {
        return ((uint64_t)ticket >> 12) << 13 | (holder + 1);
    }

    /* A ticket, or L_SHED: there is no room for this priority. `hint`: where this caller found or left a free slot. */
    static inline int64_t limiter_acquire(limiter_t *l, uint32_t holder, int priority, int64_t now_ns, uint32_t *hint)
    {
        /* Signed: a count that is being put right may be below nothing for a moment. */
        int64_t room = l_room(l, priority), before = (int64_t)word_peek(&l->under_way);
        if (before < room) {
            before = (int64_t)word_add(&l->under_way, 1);
            if (before < room) {
                int64_t ticket = (int64_t)(((uint64_t)now_ns >> 4 & L_START_MASK) << 14 | (uint64_t)priority << 12);
                uint64_t fresh = l_slot_word(ticket, holder), peak;
                uint32_t at = __atomic_load_n(hint, __ATOMIC_RELAXED) & (L_SLOTS - 1);
                for (int i = 0; i < L_SLOTS; i++, at = (at + 1) & (L_SLOTS - 1)) {
                    if (word_peek(&l->slots[at]) == 0 && word_swap(&l->slots[at], 0, fresh)) {
                        __atomic_store_n(hint, at + 1, __ATOMIC_RELAXED);
                        word_add(&l->admitted[priority], 1);
                        peak = word_peek(&l->peak);
                        while (before + 1 > (int64_t)peak && !word_swap(&l->peak, peak, (uint64_t)before + 1))
                            peak = word_peek(&l->peak);
                        return ticket | at;
                    }
                }
            }
            word_add(&l->under_way, (uint64_t)-1);
        }
        word_add(&l->shed[priority], 1);
        return L_SHED;
    }

    /* So many that their mean says something: several times the limit. */
    static inline int l_enough(const limiter_t *l)
    {
        int64_t least = l_setting(&l->settings.least_samples);
        int64_t several = l_in_force(l) * (word_peek(&l->queued) ? 8 : 2) / L_SCALE;
        return (int64_t)(word_peek(&l->samples) + word_peek(&l->drops)) >= (least > several ? least : several);
    }

    static int64_t l_occupied(const limiter_t *l)
    {
        int64_t occupied = 0;
        for (int i = 0; i < L_SLOTS; i++)
            occupied += word_peek(&l->slots[i]) != 0;
        return occupied;
    }

    /* Put the count right by the slots, where it has been wrong by the same at four looks: who was killed between the two
       has left it so. Told at the end of windows, and where calls are refused, which a wrong count may be the reason for. */
    static void limiter_mend(limiter_t *l)
    {
        uint64_t count = word_load(&l->under_way), off = count - (uint64_t)l_occupied(l);
        uint64_t times = off && off == word_peek(&l->mismatch) ? word_peek(&l->mismatches) + 1 : 0;
        word_store(&l->mismatch, off);
        if (times >= 3 && word_swap(&l->under_way, count, count - off))
            times = 0;
        word_store(&l->mismatches, times);
    }

    /* Look at the base after so long; sooner at first, and while it turns out to be another one. */
    static void l_look_later(limiter_t *l, int64_t now_ns, int again)
    {
        int64_t every_ns = l_setting(&l->settings.base_every_ns), wait = (int64_t)word_peek(&l->look_wait) * 2;
        int64_t least = l_setting(&l->settings.window_ns) * 8;
        wait = again || wait < least ? least : wait;
        wait = wait > every_ns ? every_ns : wait;
        word_store(&l->look_wait, (uint64_t)wait);
        word_store(&l->look_at, (uint64_t)(now_ns + wait));
    }

    /* The end of a window, for who has won it: what was seen becomes the next limit. */
    static void l_learn(limiter_t *l, int64_t now_ns)
    {
        double samples = (double)__atomic_exchange_n(&l->samples, 0, __ATOMIC_RELAXED);
        double mean = (double)__atomic_exchange_n(&l->sum_us, 0, __ATOMIC_RELAXED) / (samples < 1.0 ? 1.0 : samples);
        double square = (double)__atomic_exchange_n(&l->sum_us2, 0, __ATOMIC_RELAXED) / (samples < 1.0 ? 1.0 : samples);
        uint64_t drops = __atomic_exchange_n(&l->drops, 0, __ATOMIC_RELAXED);
        uint64_t peak = __atomic_exchange_n(&l->peak, word_peek(&l->under_way), __ATOMIC_RELAXED);
        double limit = (double)limiter_limit(l) / L_SCALE, base = (double)word_peek(&l->base_us), good, quotient, next;
        double target = (double)l_setting(&l->settings.target_ns) / 1e3, least = (double)l_setting(&l->settings.least);
        double most = (double)l_setting(&l->settings.most), before = (double)word_peek(&l->last_us);
        double doubt = square > mean * mean ? sqrt((square - mean * mean) / samples) : 0.0;
        int halved = (int)word_peek(&l->halved);
        word_add(&l->windows, 1);
        word_store(&l->before, (uint64_t)l_in_force(l));
        limiter_mend(l);
        if (l_setting(&l->settings.fixed) || (samples < 1.0 && !drops))
            return;
        if (halved == 1) {              /* calls of the whole limit end first */
            word_store(&l->halved, 2);
            return;
        }
        if (halved == 2) {
            word_store(&l->halved, 0);
            /* Half as many are as slow, and slower than it by more than chance: there was no queue. */
            if (mean > before * 0.85 && mean > base + doubt)
                word_store(&l->base_us, (uint64_t)((mean + before) / 2.0));
            else
                word_store(&l->base_us, (uint64_t)(mean < base * 0.8 ? mean : base + (mean - base) * 0.5));
            l_look_later(l, now_ns, mean < base * 0.8);
            return;
        }
        if (samples >= 1.0)
            word_store(&l->last_us, (uint64_t)mean);
        if (base == 0.0) {
            base = floor(mean);
            word_store(&l->base_us, (uint64_t)base);
            l_look_later(l, now_ns, 1);
        }
        good = (base > target ? base : target) * 1.03 + doubt;
        quotient = mean <= good ? 1.0 : good / mean;
        if (!word_peek(&l->queued)) {
            if (drops || quotient < 0.8)
                word_store(&l->queued, 1);
            else if (quotient == 1.0)
                word_store(&l->base_us, (uint64_t)(base + (mean - base) * 0.25));
        }
        if (drops)
            next = limit * 0.9;
        else if (!word_peek(&l->queued))
            next = limit * 2.0;
        else
            next = limit * (quotient < 0.5 ? 0.5 : quotient) + sqrt(limit) / 4.0;
        /* It grows only where it was made use of. */
        if (next > limit && (double)peak < limit * 0.7)
            next = limit;
        next = next < least ? least : next > most ? most : next;
        word_store(&l->limit, (uint64_t)(next * L_SCALE));
        if (l_setting(&l->settings.base_every_ns) > 0 && word_peek(&l->queued) && mean > target
            && (now_ns >= (int64_t)word_peek(&l->look_at)
                || (int64_t)word_peek(&l->look_at) - now_ns > l_setting(&l->settings.base_every_ns)))
            word_store(&l->halved, 1);
    }

    /* The call of a ticket has ended: 0, or L_GONE where it was given back before. `how`: L_SAMPLED: its latency says
       something; L_DROPPED: the callee was too busy; else neither. */
    static inline int limiter_release(limiter_t *l, uint32_t holder, int64_t ticket, int64_t now_ns, int how, uint32_t *hint)
    {
        uint32_t at = ticket & (L_SLOTS - 1);
        uint64_t began;
        int64_t passed = (int64_t)((((uint64_t)now_ns >> 4) - ((uint64_t)ticket >> 14)) & L_START_MASK) << 4;
        if (word_peek(&l->slots[at]) != l_slot_word(ticket, holder))
            return L_GONE;
        word_store(&l->slots[at], 0);
        word_add(&l->under_way, (uint64_t)-1);
        __atomic_store_n(hint, at, __ATOMIC_RELAXED);
        if (how == L_DROPPED)
            word_add(&l->drops, 1);
        else if (how == L_SAMPLED) {
            /* Half a minute stands for all that is longer: the squares of many have to have room in a word. */
            uint64_t micros = passed >> 45 ? 0 : passed >> 35 ? 1ULL << 25 : (uint64_t)passed / 1000;
            word_add(&l->samples, 1);
            word_add(&l->sum_us, micros);
            word_add(&l->sum_us2, micros * micros);
        }
        began = word_peek(&l->window_began);
        if (began == 0 || now_ns < (int64_t)began - l_setting(&l->settings.window_ns))    /* or the clock was set back */
            word_swap(&l->window_began, began, (uint64_t)now_ns);
        else if (now_ns - (int64_t)began >= l_setting(&l->settings.window_ns) && l_enough(l)
                 && word_swap(&l->window_began, began, (uint64_t)now_ns))
            l_learn(l, now_ns);
        return 0;
    }

    /* Free what the holder of a place has; how much. */
    static int limiter_free_of(limiter_t *l, uint32_t holder)
    {
        int freed = 0;
        for (int i = 0; i < L_SLOTS; i++) {
            uint64_t word = word_load(&l->slots[i]);
            if (word && (word & 0x1FFF) == holder + 1 && word_swap(&l->slots[i], word, 0)) {
                word_add(&l->under_way, (uint64_t)-1);
                freed++;
            }
        }
        return freed;
    }
    #endif
    """
    ctypedef struct limiter_settings_t:
        int64_t least
    ctypedef struct limiter_t:
        uint64_t limit
        limiter_settings_t settings
        uint64_t under_way
        uint64_t base_us
        uint64_t last_us
        uint64_t windows
        uint64_t* admitted
        uint64_t* shed
        named_t named
        uint64_t* slots
    const size_t L_NAMED_AT
    const int L_SAMPLED, L_FAILED, L_DROPPED, L_LEFT_OUT, L_SLOTS, L_PRIORITIES, L_SHED, L_GONE, L_SCALE
    int64_t limiter_limit(const limiter_t* limiter) noexcept nogil
    int64_t l_occupied(const limiter_t* limiter) noexcept nogil
    void limiter_mend(limiter_t* limiter) noexcept nogil
    int64_t limiter_acquire(limiter_t* limiter, uint32_t holder, int priority, int64_t now_ns,
                            uint32_t* hint) noexcept nogil
    int limiter_release(limiter_t* limiter, uint32_t holder, int64_t ticket, int64_t now_ns, int how,
                        uint32_t* hint) noexcept nogil
    int limiter_free_of(limiter_t* limiter, uint32_t holder) noexcept nogil

cdef enum:
    LIMITERS_KIND = 0x494D494C      # region kind "LIMI"
    LIMITERS_LAYOUT = 2


cdef class Limiters(NamedTable):
    pass


cdef class Limiter:
    cdef limiter_t* data
    cdef uint32_t hint
    cdef readonly Limiters owner
    cdef readonly str name
    cdef int64_t enter(self, int priority, int64_t now_ns) except? -100
    cdef int leave(self, int64_t ticket, int64_t now_ns, int how) except? -100
