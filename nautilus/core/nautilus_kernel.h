/* The matching of Nautilus as a plain shared object: build/libnautilus_kernel.so, made by `make kernel-so` out of the
 * same Cython code as the Python extension nautilus.core.market.
 *
 * It links libpython, because the generated file holds the Python face too. engine_create runs the module's
 * initialisation once; afterwards no Python symbol is reached, no lock of the interpreter is taken and nothing is
 * allocated. One thread drives an engine, one other may read its reports. Layouts are little-endian and fixed.
 *
 * Beside the functions below the object answers to the entry points of the public benchmark
 * flash1-dev/matching-engine-benchmark (engine_init, engine_on_new_order, engine_on_cancel, engine_on_modify,
 * engine_on_batch, engine_flush, engine_query_*, engine_get_transport, engine_shutdown), which work on one engine of
 * their own. NAUTILUS_PREFETCH=0 in the environment turns its prefetch off, NAUTILUS_TRANSPORT=harness makes it use the
 * caller's queue instead of its own ring.
 */
#ifndef NAUTILUS_KERNEL_H
#define NAUTILUS_KERNEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nautilus_options {
    uint32_t instruments;       /* books, numbered from 0 */
    uint32_t orders;            /* most open orders at a time */
    uint32_t pages;             /* of 512 price levels */
    uint32_t prefetch;          /* fetch ahead within a batch, while 131,072 orders and more are open */
    uint64_t reports;           /* places of the ring, a power of two; a full ring makes the engine wait */
} nautilus_options;

typedef struct nautilus_message {
    uint64_t order_id;          /* NEW: not that of an open order */
    int64_t  price, quantity;   /* |price| <= 2^40, quantity 1 to 2^40; REPLACE: what is to be open */
    uint8_t  kind;              /* 1 new, 2 cancel, 3 replace */
    uint8_t  side;              /* 1 buy, 2 sell */
    uint8_t  order_type;        /* 1 limit, 2 market; others are refused UNSUPPORTED */
    uint8_t  time_in_force;     /* 1 GTC, 2 DAY, 4 IOC, 5 FOK */
    uint16_t flags, owner;      /* flags: HIDDEN, ALL_OR_NONE of nautilus.core.types.OrderFlag; owner: orders of one owner do not meet; 0: none */
    uint32_t instrument;
    uint32_t tag;               /* comes back in nautilus_report.aux */
} nautilus_message;

typedef struct nautilus_report {
    uint8_t  kind;              /* 1 accepted, 2 rejected, 3 filled, 4 cancelled, 5 replaced; 255: see order */
    uint8_t  side;              /* of `order` */
    uint8_t  reason;            /* as in nautilus.core.types.Reason */
    uint8_t  flags;             /* 1 `order` is closed, 2 `counter` is closed, 4 of a cancel, 8 of a replace */
    uint32_t order, counter;    /* filled: aggressor and resting order; kind 255: upper halves of the next report's */
    uint32_t aux;
    int64_t  price, quantity;   /* filled: price of the resting order, quantity of the match */
} nautilus_report;

/* NULL where Python or memory cannot be had. */
void *engine_create(const nautilus_options *options);
void engine_destroy(void *engine);
/* In order; each message's reports are in the ring before the next is looked at. */
void engine_process(void *engine, const nautilus_message *messages, uint32_t count);
/* The reader's side: at most `most` reports, the number that there were. */
uint32_t engine_read(void *engine, nautilus_report *reports, uint32_t most);

#ifdef __cplusplus
}
#endif
#endif
