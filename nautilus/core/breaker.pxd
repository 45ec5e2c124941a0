"""Any process, any thread. Circuit breakers in a shared region; every step is atomic, and nothing is allocated.

    closed ──failures──▶ open ──recovery time, first caller──▶ half-open ──successes──▶ closed
                          ▲                                        │
                          └───────────── a probe failed ───────────┘        forced-open, disabled: as told

The state is one word - what, why, which change this is, until when - changed by compare-and-swap, so one transition is
one change and all workers agree. A call has a ticket. While closed it has a slot of the bulkhead, while half-open one
of exactly N probes; a slot is a word that names its holder (see `holders`), so what a killed process held comes back.

Counted are the last N calls (`entries`, a ring) and those of the last T (`buckets`, sixteen parts of that time). What is
counted carries the number of the closed period it belongs to, so that a new one begins empty without being emptied, and
an outcome of a call that began in an earlier one moves nothing. A success costs an addition, a store and one exchange.

Ticket: start (units of 16 ns, 42 bits), period (7), kind (2), slot (12). Times may be of any clock that does not go
back, but of one clock in all processes.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.named_table cimport NamedTable, named_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BREAKER_H
    #define NAUTILUS_BREAKER_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    enum { B_CLOSED = 0, B_OPEN = 1, B_HALF_OPEN = 2, B_FORCED_OPEN = 3, B_DISABLED = 4 };
    enum { B_SUCCESS = 0, B_FAILURE = 1, B_TIMEOUT = 2, B_CANCELLED = 3, B_IGNORED = 4, B_OVERLOADED = 5, B_OUTCOMES };
    enum { B_REJECT_OPEN = 1, B_REJECT_HALF_OPEN = 2, B_REJECT_BULKHEAD = 3, B_REJECT_FORCED = 4, B_REJECTS };
    enum { B_MADE = 0, B_CONSECUTIVE = 1, B_FAILURE_RATE = 2, B_SLOW_RATE = 3, B_RECOVERY = 4, B_PROBES_GOOD = 5,
           B_PROBE_FAILED = 6, B_PROBE_TIMEOUT = 7, B_PROBE_SLOW = 8, B_FORCED = 9, B_RESET = 10, B_SWITCHED_OFF = 11 };
    enum { B_KIND_SLOT = 0, B_KIND_PROBE = 1, B_KIND_FREE = 2 };
    enum { B_PROBE_HELD = 1, B_PROBE_GOOD_ONE = 2 };
    enum { B_FAILED = 1, B_SLOW = 2 };
    #define B_SLOTS 256
    #define B_PROBES 32
    #define B_ENTRIES 128
    #define B_BUCKETS 16
    #define B_CHANGES 16
    #define B_NUMBERS 0x1FFFFu          /* changes are told apart by 17 bits of their number */
    #define B_START_MASK ((1ULL << 42) - 1)
    #define B_GONE (-1)                 /* released twice, or not held by this process */

    typedef struct breaker_settings_t {     /* 0 switches a control off */
        int64_t failures;                   /* consecutive */
        int64_t failure_permille, slow_permille, slow_ns;
        int64_t least_calls, window_calls, window_ns;
        int64_t recovery_ns, backoff_permille, most_recovery_ns;
        int64_t successes, probes, probe_ns;
        int64_t bulkhead, cancelled_fails, reserved;
    } breaker_settings_t;

    typedef struct breaker_change_t {
        uint64_t word;                      /* valid: 1, from: 3, to: 3, cause: 4, number: 17 */
        int64_t  at_ns;
    } breaker_change_t;

    typedef struct breaker_t {
        uint64_t state;                     /* what: 3, cause: 4, number: 17, until (2^18 ns): 40 */
        uint64_t consecutive;               /* failures: 32, number: 32 */
        uint64_t strikes;                   /* times it opened again without having been closed */
        double   average_ns;                /* of the response times, the last weighing 1/16 */
        char     pad1[128 - 32];
        uint64_t cursor, beside;            /* outcomes counted in the windows, and those of no closed period */
        char     pad2[128 - 16];
        breaker_settings_t settings;
        uint64_t outcomes[8];               /* successes are what is left of all; 6: cancelled that are in it */
        uint64_t rejects[6];
        uint64_t slow, late;
        uint32_t entries[B_ENTRIES];        /* number: 17 (from bit 8), used: bit 7, B_FAILED, B_SLOW */
        uint64_t buckets[B_BUCKETS];        /* tick: 20, number: 8, calls: 12, failures: 12, slow: 12 */
        uint64_t probes[B_PROBES];          /* start (2^10 ns): 32, number: 17, holder: 13, B_PROBE_: 2 */
        breaker_change_t changes[B_CHANGES];
        named_t  named;
        uint64_t slots[B_SLOTS];            /* start: 42, period: 7, kind: 2, holder: 13 */
    } breaker_t;
    #define B_NAMED_AT offsetof(breaker_t, named)

    static inline int64_t setting(const int64_t *value) { return __atomic_load_n(value, __ATOMIC_RELAXED); }
    static inline int b_what(uint64_t word) { return (int)(word & 7); }
    static inline int b_cause(uint64_t word) { return (int)(word >> 3 & 15); }
    static inline uint32_t b_number(uint64_t word) { return (uint32_t)(word >> 7) & B_NUMBERS; }
    static inline uint64_t b_word(int what, int cause, uint32_t number, uint64_t until)
    {
        return (uint64_t)what | (uint64_t)cause << 3 | (uint64_t)(number & B_NUMBERS) << 7 | until << 24;
    }
    /* Whether a time is before the one that the word names; both count units of 2^18 ns round and round. */
    static inline int b_before(int64_t now_ns, uint64_t word)
    {
        uint64_t now = (uint64_t)now_ns >> 18 & 0xFFFFFFFFFFULL, ahead = ((word >> 24) - now) & 0xFFFFFFFFFFULL;
        return ahead != 0 && ahead < 1ULL << 39;
    }

    static inline int64_t b_ticket(uint64_t start, uint32_t number, int kind, uint32_t slot)
    {
        return (int64_t)((start & B_START_MASK) << 21 | (uint64_t)(number & 127) << 14 | (uint64_t)kind << 12 | slot);
    }
    static inline uint64_t b_slot_word(int64_t ticket, uint32_t holder)     /* all of the ticket but its slot */
    {
        return ((uint64_t)ticket >> 12) << 13 | (holder + 1);
    }
    static inline uint64_t b_probe_word(int64_t now_ns, uint32_t number, uint32_t holder)
    {
        return ((uint64_t)now_ns >> 10) << 32 | (uint64_t)number << 15 | (uint64_t)(holder + 1) << 2 | B_PROBE_HELD;
    }
    static inline uint32_t b_probe_number(uint64_t word) { return (uint32_t)(word >> 15) & B_NUMBERS; }
    static inline uint32_t b_probes(const breaker_t *b)
    {
        int64_t probes = setting(&b->settings.probes), successes = setting(&b->settings.successes);
        probes = probes < successes ? successes : probes;
        return (uint32_t)(probes < 1 ? 1 : probes > B_PROBES ? B_PROBES : probes);
    }
    static inline int64_t b_successes(const breaker_t *b)
    {
        int64_t successes = setting(&b->settings.successes);
        return successes < 1 ? 1 : successes > B_PROBES ? B_PROBES : successes;
    }

    /* Write down the change that led to this word, unless that is done: its maker may have been killed before. */
    static void b_note(breaker_t *b, uint64_t word, int from, int64_t at_ns)
    {
        breaker_change_t *c = &b->changes[b_number(word) % B_CHANGES];
        uint64_t found = __atomic_load_n(&c->word, __ATOMIC_ACQUIRE);
        uint64_t told = 1 | (uint64_t)from << 1 | (uint64_t)b_what(word) << 4 | (uint64_t)b_cause(word) << 7
            | (uint64_t)b_number(word) << 11;
        if ((found & 1) && (((found >> 11) - b_number(word)) & B_NUMBERS) < B_NUMBERS / 2)
            return;                             /* this one, or one that came after it */
        __atomic_store_n(&c->word, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&c->at_ns, at_ns, __ATOMIC_SEQ_CST);
        __atomic_store_n(&c->word, told, __ATOMIC_SEQ_CST);
    }

    /* One transition: from exactly this word. 0 where another was first. */
    static int b_turn(breaker_t *b, uint64_t word, int what, int cause, uint64_t until, int64_t now_ns)
    {
        uint32_t number = (b_number(word) + 1) & B_NUMBERS;
        uint64_t fresh = b_word(what, cause, number, until);
        b_note(b, word, 7, now_ns);             /* 7: from what, nobody knows */
        if (!word_swap(&b->state, word, fresh))
            return 0;
        b_note(b, fresh, b_what(word), now_ns);
        if (what == B_OPEN && b_what(word) == B_HALF_OPEN)
            word_add(&b->strikes, 1);
        else if (what == B_CLOSED)
            word_store(&b->strikes, 0);
        /* What numbers that come again could be taken for is gone long before. */
        for (int i = 0; what == B_HALF_OPEN && i < B_PROBES; i++) {
            uint64_t probe = word_load(&b->probes[i]);
            if (probe && b_probe_number(probe) != number)
                word_swap(&b->probes[i], probe, 0);
        }
        for (int i = 0; what == B_CLOSED && i < B_ENTRIES; i++) {
            uint32_t entry = __atomic_load_n(&b->entries[i], __ATOMIC_RELAXED);
            if (entry >> 8 != number)
                __atomic_compare_exchange_n(&b->entries[i], &entry, 0, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        }
        return 1;
    }

    static int b_open(breaker_t *b, uint64_t word, int cause, int64_t now_ns)
    {
        double wait = (double)setting(&b->settings.recovery_ns), most = (double)setting(&b->settings.most_recovery_ns);
        double factor = (double)setting(&b->settings.backoff_permille) / 1000.0;
        uint64_t strikes = word_load(&b->strikes) + (b_what(word) == B_HALF_OPEN);
        for (uint64_t i = 0; i < strikes && factor > 1.0 && wait < most; i++)
            wait = wait * factor > most ? most : wait * factor;
        return b_turn(b, word, B_OPEN, cause, ((uint64_t)(now_ns + (int64_t)wait) + ((1 << 18) - 1)) >> 18, now_ns);
    }

    /* A rate is over its threshold, among at least so many. */
    static inline int b_over(int64_t part, int64_t all, int64_t permille)
    {
        return permille > 0 && part * 1000 >= permille * all;
    }

    static int b_over_any(const breaker_t *b, int64_t calls, int64_t failed, int64_t slow, int64_t least)
    {
        if (calls == 0 || calls < least)
            return 0;
        return b_over(failed, calls, setting(&b->settings.failure_permille)) ? B_FAILURE_RATE
            : b_over(slow, calls, setting(&b->settings.slow_permille)) ? B_SLOW_RATE : 0;
    }

    static int b_judge_calls(const breaker_t *b, uint32_t number)
    {
        int64_t calls = 0, failed = 0, slow = 0, size = setting(&b->settings.window_calls);
        int64_t least = setting(&b->settings.least_calls);
        for (int64_t i = 0; i < size && i < B_ENTRIES; i++) {
            uint32_t entry = __atomic_load_n(&b->entries[i], __ATOMIC_RELAXED);
            int counts = entry >> 7 == (number << 1 | 1);
            calls += counts;
            failed += counts & entry;
            slow += counts & entry >> 1;
        }
        return b_over_any(b, calls, failed, slow, least < size ? least : size);
    }

    static int b_judge_time(const breaker_t *b, uint32_t number, uint64_t tick)
    {
        int64_t calls = 0, failed = 0, slow = 0;
        for (int i = 0; i < B_BUCKETS; i++) {
            uint64_t bucket = word_peek(&b->buckets[i]);
            uint64_t age = (tick - (bucket >> 44)) & 0xFFFFF;
            if ((bucket >> 36 & 0xFF) != (number & 0xFF) || age >= B_BUCKETS)
                continue;
            calls += bucket >> 24 & 0xFFF;
            failed += bucket >> 12 & 0xFFF;
            slow += bucket & 0xFFF;
        }
        return b_over_any(b, calls, failed, slow, setting(&b->settings.least_calls));
    }

    static inline uint64_t b_tick(const breaker_t *b, int64_t now_ns)
    {
        int64_t window_ns = setting(&b->settings.window_ns);
        return window_ns < B_BUCKETS ? 0 : (uint64_t)now_ns / ((uint64_t)window_ns / B_BUCKETS) & 0xFFFFF;
    }

    /* An outcome of a call of this closed period: count it, and see whether that opens the breaker. */
    static void b_judge(breaker_t *b, uint64_t word, int failed, int bad, int64_t now_ns, uint64_t tick)
    {
        uint32_t number = b_number(word);
        int64_t failures = setting(&b->settings.failures), in_a_row = 0;
        int cause = 0;
        if (failed) {
            uint64_t old = word_load(&b->consecutive), fresh;
            do
                fresh = (uint64_t)number << 32 | ((old >> 32 == number ? (old & 0xFFFFFFFF) : 0) + 1);
            while (!__atomic_compare_exchange_n(&b->consecutive, &old, fresh, 1, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
            in_a_row = (int64_t)(fresh & 0xFFFFFFFF);
        }
        if (failures > 0 && in_a_row >= failures)
            cause = B_CONSECUTIVE;
        if (!cause)
            cause = b_judge_calls(b, number);
        if (!cause && bad && setting(&b->settings.window_ns) > 0)
            cause = b_judge_time(b, number, tick);
        if (cause)
            b_open(b, word, cause, now_ns);
    }

    static inline void b_count_closed(breaker_t *b, uint64_t word, int outcome, int slow, int64_t now_ns)
    {
        uint32_t number = b_number(word), size = (uint32_t)setting(&b->settings.window_calls);
        int failed = outcome != B_SUCCESS && (outcome != B_CANCELLED || setting(&b->settings.cancelled_fails));
        uint64_t position = word_add(&b->cursor, 1), tick = 0, consecutive;
        uint32_t old = number << 8 | 128;
        if (size) {
            uint32_t *entry = &b->entries[(position % size) & (B_ENTRIES - 1)];
            old = __atomic_load_n(entry, __ATOMIC_RELAXED);
            __atomic_store_n(entry, number << 8 | 128 | (uint32_t)failed | (uint32_t)slow << 1, __ATOMIC_RELAXED);
        }
        if (setting(&b->settings.window_ns) > 0) {
            tick = b_tick(b, now_ns);
            uint64_t *bucket = &b->buckets[tick % B_BUCKETS];
            uint64_t head = tick << 8 | (number & 0xFF), found = word_peek(bucket), fresh;
            do {
                fresh = found >> 36 == head ? found : head << 36;
                if ((fresh >> 24 & 0xFFF) == 0xFFF)     /* full: half of each, their ratios stay */
                    fresh = head << 36 | (fresh >> 25 & 0x7FF) << 24 | (fresh >> 13 & 0x7FF) << 12 | (fresh >> 1 & 0x7FF);
                fresh += (1ULL << 24) + ((uint64_t)failed << 12) + (uint64_t)slow;
            } while (!__atomic_compare_exchange_n(bucket, &found, fresh, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
        }
        if (__builtin_expect(!failed, 1)) {
            consecutive = word_peek(&b->consecutive);
            if (outcome == B_SUCCESS && (consecutive & 0xFFFFFFFF))
                word_store(&b->consecutive, (uint64_t)number << 32);
            if (!slow && old >> 7 == (number << 1 | 1))     /* no rate has grown */
                return;
        }
        /* Refusals by a busy peer weigh in the rate only: it is no outage. */
        b_judge(b, word, failed && outcome != B_OVERLOADED, failed || slow, now_ns, tick);
    }

    static int b_good_probes(const breaker_t *b, uint32_t number)
    {
        int good = 0;
        for (uint32_t i = 0; i < b_probes(b); i++) {
            uint64_t probe = word_load(&b->probes[i]);
            good += (probe & 3) == B_PROBE_GOOD_ONE && b_probe_number(probe) == number;
        }
        return good;
    }

    static inline int64_t b_refuse(breaker_t *b, int reason)
    {
        word_add(&b->rejects[reason], 1);
        return -reason;
    }

    static int64_t b_acquire_other(breaker_t *b, uint32_t holder, int64_t now_ns)
    {
        for (;;) {
            uint64_t word = word_load(&b->state);
            uint32_t number = b_number(word), count = b_probes(b), i;
            int64_t probe_ns = setting(&b->settings.probe_ns);
            switch (b_what(word)) {
            case B_FORCED_OPEN:
                return b_refuse(b, B_REJECT_FORCED);
            case B_OPEN:
                if (b_before(now_ns, word))
                    return b_refuse(b, B_REJECT_OPEN);
                b_turn(b, word, B_HALF_OPEN, B_RECOVERY, (uint64_t)now_ns >> 18, now_ns);
                continue;
            case B_HALF_OPEN:
                break;
            case B_DISABLED:
                return b_ticket((uint64_t)now_ns >> 4, number, B_KIND_FREE, 0);
            default:
                return 0;               /* closed by now: the caller tries that again */
            }
            int64_t lost = -1;
            uint64_t lost_word = 0;
            for (i = 0; i < count; i++) {
                uint64_t probe = word_load(&b->probes[i]), fresh = b_probe_word(now_ns, number, holder);
                if (probe && b_probe_number(probe) == number) {
                    uint32_t held_for = (uint32_t)((uint64_t)now_ns >> 10) - (uint32_t)(probe >> 32);
                    /* Of a clock just behind: nearly all of the 73 minutes after which these times come again. */
                    if ((probe & 3) == B_PROBE_HELD && probe_ns > 0 && held_for < 0xFFF00000U
                        && (int64_t)held_for << 10 > probe_ns + (1 << 10))
                        lost = i, lost_word = probe;
                    continue;
                }
                if (!word_swap(&b->probes[i], probe, fresh)) {
                    i--;                /* look at it again */
                    continue;
                }
                if (word_load(&b->state) == word)
                    return b_ticket((uint64_t)now_ns >> 4, number, B_KIND_PROBE, i);
                word_swap(&b->probes[i], fresh, 0);
                break;
            }
            if (i < count)
                continue;               /* the state has changed meanwhile */
            if (b_good_probes(b, number) >= b_successes(b)) {
                b_turn(b, word, B_CLOSED, B_PROBES_GOOD, 0, now_ns);
                continue;
            }
            if (lost >= 0) {            /* its holder lives and does not come back */
                if (word_swap(&b->probes[lost], lost_word, 0)) {
                    word_add(&b->outcomes[B_TIMEOUT], 1);
                    word_add(&b->beside, 1);
                    b_open(b, word, B_PROBE_TIMEOUT, now_ns);
                }
                continue;
            }
            return b_refuse(b, B_REJECT_HALF_OPEN);
        }
    }

    /* A ticket, or minus the reason why there is none. `hint`: where this caller found or left a free slot last. */
    static inline int64_t breaker_acquire(breaker_t *b, uint32_t holder, int64_t now_ns, uint32_t *hint)
    {
        for (;;) {
            uint64_t word = word_load(&b->state);
            if (__builtin_expect(b_what(word) != B_CLOSED, 0)) {
                int64_t ticket = b_acquire_other(b, holder, now_ns);
                if (ticket)
                    return ticket;
                continue;
            }
            uint32_t limit = (uint32_t)setting(&b->settings.bulkhead);
            if (limit == 0)
                return b_ticket((uint64_t)now_ns >> 4, b_number(word), B_KIND_FREE, 0);
            uint32_t at = __atomic_load_n(hint, __ATOMIC_RELAXED);
            int64_t ticket = b_ticket((uint64_t)now_ns >> 4, b_number(word), B_KIND_SLOT, 0);
            uint64_t fresh = b_slot_word(ticket, holder);
            at = at < limit ? at : 0;
            for (uint32_t i = 0; i < limit; i++) {
                if (word_peek(&b->slots[at]) == 0 && word_swap(&b->slots[at], 0, fresh)) {
                    __atomic_store_n(hint, at + 1, __ATOMIC_RELAXED);
                    return ticket | at;
                }
                at = at + 1 == limit ? 0 : at + 1;
            }
            return b_refuse(b, B_REJECT_BULKHEAD);
        }
    }

    static int b_release_probe(breaker_t *b, uint32_t holder, int64_t ticket, int64_t now_ns, int outcome, int slow)
    {
        uint64_t *place = &b->probes[ticket & (B_PROBES - 1)], probe = word_load(place), word;
        uint64_t start = (uint64_t)ticket >> 21 >> 6 & 0xFFFFFFFF;   /* units of 2^10 ns */
        int good = outcome == B_SUCCESS && !slow;
        int undecided = outcome == B_IGNORED
            || (outcome == B_CANCELLED && !slow && !setting(&b->settings.cancelled_fails));
        if ((probe & 3) != B_PROBE_HELD || (probe >> 2 & 0x1FFF) != holder + 1 || probe >> 32 != start
            || (b_probe_number(probe) & 127) != ((uint64_t)ticket >> 14 & 127))
            return B_GONE;
        if (!word_swap(place, probe, good ? probe ^ (B_PROBE_HELD | B_PROBE_GOOD_ONE) : 0))
            return B_GONE;
        if (outcome != B_SUCCESS)
            word_add(&b->outcomes[outcome], 1);
        if (slow && outcome != B_IGNORED)
            word_add(&b->slow, 1);
        if (undecided)
            return 0;
        if (outcome == B_CANCELLED)
            word_add(&b->outcomes[B_OUTCOMES], 1);
        word_add(&b->beside, 1);
        word = word_load(&b->state);
        if (b_what(word) != B_HALF_OPEN || b_number(word) != b_probe_number(probe))
            word_add(&b->late, 1);
        else if (!good)
            b_open(b, word, outcome == B_SUCCESS || outcome == B_CANCELLED ? B_PROBE_SLOW
                   : outcome == B_TIMEOUT ? B_PROBE_TIMEOUT : B_PROBE_FAILED, now_ns);
        else if (b_good_probes(b, b_number(word)) >= b_successes(b))
            b_turn(b, word, B_CLOSED, B_PROBES_GOOD, 0, now_ns);
        return 0;
    }

    /* The call of a ticket has ended so: 0, or B_GONE where it was given back before; then nothing is counted. */
    static inline int breaker_release(breaker_t *b, uint32_t holder, int64_t ticket, int64_t now_ns, int outcome,
                                      uint32_t *hint)
    {
        int kind = (int)(ticket >> 12 & 3);
        int64_t slow_ns = setting(&b->settings.slow_ns), passed;
        uint64_t word;
        int slow;
        passed = (int64_t)((((uint64_t)now_ns >> 4) - ((uint64_t)ticket >> 21)) & B_START_MASK) << 4;
        if (passed >> 45)               /* a clock of another processor, just behind */
            passed = 0;
        slow = slow_ns > 0 && passed >= slow_ns && setting(&b->settings.slow_permille) > 0;
        if (__builtin_expect(kind == B_KIND_PROBE, 0))
            return b_release_probe(b, holder, ticket, now_ns, outcome, slow);
        if (kind == B_KIND_SLOT) {
            uint32_t at = ticket & (B_SLOTS - 1);
            if (word_peek(&b->slots[at]) != b_slot_word(ticket, holder))
                return B_GONE;
            word_store(&b->slots[at], 0);       /* none but its holder writes a slot that is taken */
            __atomic_store_n(hint, at, __ATOMIC_RELAXED);
        }
        if (__builtin_expect(outcome != B_SUCCESS, 0)) {
            word_add(&b->outcomes[outcome], 1);
            if (outcome == B_IGNORED || (outcome == B_CANCELLED && !slow && !setting(&b->settings.cancelled_fails)))
                return 0;
            if (outcome == B_CANCELLED)
                word_add(&b->outcomes[B_OUTCOMES], 1);
        } else {
            double average;
            __atomic_load(&b->average_ns, &average, __ATOMIC_RELAXED);
            average = average == 0.0 ? (double)passed : average + ((double)passed - average) * 0.0625;
            __atomic_store(&b->average_ns, &average, __ATOMIC_RELAXED);
        }
        if (__builtin_expect(slow, 0))
            word_add(&b->slow, 1);
        word = word_load(&b->state);
        if (__builtin_expect(b_what(word) == B_CLOSED && (b_number(word) & 127) == ((uint64_t)ticket >> 14 & 127), 1)) {
            b_count_closed(b, word, outcome, slow, now_ns);
            return 0;
        }
        word_add(&b->beside, 1);
        if (b_what(word) != B_DISABLED)
            word_add(&b->late, 1);
        return 0;
    }

    /* Set by a person or the health monitor, whatever the state is. */
    static void breaker_set(breaker_t *b, int what, int cause, int64_t now_ns)
    {
        while (!b_turn(b, word_load(&b->state), what, cause, (uint64_t)now_ns >> 18, now_ns))
            continue;
    }

    /* Free what the holder of a place has; how much. */
    static int breaker_free_of(breaker_t *b, uint32_t holder)
    {
        int freed = 0;
        for (int i = 0; i < B_SLOTS; i++) {
            uint64_t word = word_load(&b->slots[i]);
            freed += word && (word & 0x1FFF) == holder + 1 && word_swap(&b->slots[i], word, 0);
        }
        for (int i = 0; i < B_PROBES; i++) {
            uint64_t word = word_load(&b->probes[i]);
            freed += (word & 3) == B_PROBE_HELD && (word >> 2 & 0x1FFF) == holder + 1 && word_swap(&b->probes[i], word, 0);
        }
        return freed;
    }
    #endif
    """
    ctypedef struct breaker_settings_t:
        int64_t recovery_ns
    ctypedef struct breaker_change_t:
        uint64_t word
        int64_t at_ns
    ctypedef struct breaker_t:
        uint64_t state
        uint64_t consecutive
        uint64_t strikes
        double average_ns
        uint64_t cursor
        uint64_t beside
        breaker_settings_t settings
        uint64_t* outcomes
        uint64_t* rejects
        uint64_t slow
        uint64_t late
        uint64_t* probes
        breaker_change_t* changes
        named_t named
        uint64_t* slots
    const size_t B_NAMED_AT
    const int B_CLOSED, B_OPEN, B_HALF_OPEN, B_FORCED_OPEN, B_DISABLED
    const int B_SUCCESS, B_FAILURE, B_TIMEOUT, B_CANCELLED, B_IGNORED, B_OVERLOADED, B_OUTCOMES
    const int B_REJECT_OPEN, B_REJECT_HALF_OPEN, B_REJECT_BULKHEAD, B_REJECT_FORCED, B_REJECTS
    const int B_FORCED, B_RESET, B_SWITCHED_OFF
    const int B_SLOTS, B_PROBES, B_ENTRIES, B_CHANGES, B_GONE, B_NUMBERS
    int b_what(uint64_t word) noexcept nogil
    int b_cause(uint64_t word) noexcept nogil
    uint32_t b_number(uint64_t word) noexcept nogil
    bint b_before(int64_t now_ns, uint64_t word) noexcept nogil
    # The hot path; the rest of the comments are at the functions.
    int64_t breaker_acquire(breaker_t* breaker, uint32_t holder, int64_t now_ns, uint32_t* hint) noexcept nogil
    int breaker_release(breaker_t* breaker, uint32_t holder, int64_t ticket, int64_t now_ns, int outcome,
                        uint32_t* hint) noexcept nogil
    void breaker_set(breaker_t* breaker, int what, int cause, int64_t now_ns) noexcept nogil
    int breaker_free_of(breaker_t* breaker, uint32_t holder) noexcept nogil

cdef enum:
    BREAKERS_KIND = 0x4B415242      # region kind "BRAK"
    BREAKERS_LAYOUT = 1


cdef class Breakers(NamedTable):
    pass


cdef class Breaker:
    cdef breaker_t* data
    cdef uint32_t hint
    cdef readonly Breakers owner
    cdef readonly str name
    cdef int64_t enter(self, int64_t now_ns) except? -100
    cdef int leave(self, int64_t ticket, int64_t now_ns, int outcome) except? -100
