# C face of the market (nautilus_kernel.h) and the entry points that the public benchmark looks for. Part of market.pyx.
#
# The extension module has these functions too, but nobody looks them up there.

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdlib.h>
    #include <string.h>
    #include "nautilus_kernel.h"
    _Static_assert(sizeof(nautilus_message) == sizeof(message_t), "nautilus_message");
    _Static_assert(offsetof(nautilus_message, kind) == offsetof(message_t, kind), "nautilus_message.kind");
    _Static_assert(offsetof(nautilus_message, owner) == offsetof(message_t, owner), "nautilus_message.owner");
    _Static_assert(offsetof(nautilus_message, tag) == offsetof(message_t, tag), "nautilus_message.tag");
    _Static_assert(sizeof(nautilus_report) == sizeof(report_t), "nautilus_report");
    _Static_assert(offsetof(nautilus_report, aux) == offsetof(report_t, aux), "nautilus_report.aux");

    /* What the benchmark hands over: ids and sequences of 64 bits, quantities of 32, side 0 buy and 1 sell. */
    typedef struct judge_new_t { uint64_t id, sequence; int64_t price; uint32_t quantity; uint8_t side, ioc; } judge_new_t;
    typedef struct judge_cancel_t { uint64_t id, sequence; } judge_cancel_t;
    typedef struct judge_modify_t { uint64_t id, sequence; int64_t price; uint32_t quantity; uint8_t side; } judge_modify_t;
    typedef struct judge_message_t {
        uint64_t type;          /* one byte of it: 0 new, 1 cancel, 2 modify */
        union { judge_new_t as_new; judge_cancel_t as_cancel; judge_modify_t as_modify; };
    } judge_message_t;
    /* What it wants back, 64 bytes. */
    typedef struct judge_report_t {
        uint64_t head;          /* type, side << 8 */
        uint64_t sequence, order;
        int64_t  price;
        uint64_t quantity, resting, incoming, unused;
    } judge_report_t;
    typedef struct judge_queue_t {
        void *(*create)(uint32_t);
        int (*push)(void *, const judge_report_t *);
        uint32_t (*drain)(void *, judge_report_t *, uint32_t);
        void (*flush)(void *);
        void (*destroy)(void *);
    } judge_queue_t;
    _Static_assert(sizeof(judge_message_t) == 40 && sizeof(judge_report_t) == 64, "records of the benchmark");

    PyMODINIT_FUNC PyInit_market(void);

    /* The module's initialisation, once in a process, whether or not an interpreter runs already. */
    static int engine_python(void)
    {
        static int done;
        int began = 0, good = 0;
        PyGILState_STATE state = PyGILState_UNLOCKED;
        if (done)
            return 0;
        if (Py_IsInitialized())
            state = PyGILState_Ensure();
        else {
            Py_InitializeEx(0);
            began = 1;
        }
        PyObject *made = PyInit_market();
        if (made && PyObject_TypeCheck(made, &PyModuleDef_Type)) {
            PyObject *machinery = PyImport_ImportModule("importlib.machinery");
            PyObject *spec = machinery
                ? PyObject_CallMethod(machinery, "ModuleSpec", "sO", "nautilus.core.market", Py_None) : NULL;
            PyObject *module = spec ? PyModule_FromDefAndSpec((PyModuleDef *)made, spec) : NULL;
            good = module && PyModule_ExecDef(module, (PyModuleDef *)made) == 0;
            Py_XDECREF(spec);
            Py_XDECREF(machinery);      /* the module itself stays: its types are in use from now on */
        } else
            good = made != NULL;
        if (!good)
            PyErr_Print();
        if (began)
            PyEval_SaveThread();
        else
            PyGILState_Release(state);
        done = good;
        return good ? 0 : -1;
    }
    """
    ctypedef struct nautilus_options:
        uint32_t instruments
        uint32_t orders
        uint32_t pages
        uint32_t prefetch
        uint64_t reports
    ctypedef struct nautilus_message:
        pass
    ctypedef struct nautilus_report:
        pass
    ctypedef struct judge_new_t:
        uint64_t id
        uint64_t sequence
        int64_t price
        uint32_t quantity
        uint8_t side
        uint8_t ioc
    ctypedef struct judge_cancel_t:
        uint64_t id
        uint64_t sequence
    ctypedef struct judge_modify_t:
        uint64_t id
        uint64_t sequence
        int64_t price
        uint32_t quantity
        uint8_t side
    ctypedef struct judge_message_t:
        uint64_t type
        judge_new_t as_new
        judge_cancel_t as_cancel
        judge_modify_t as_modify
    ctypedef struct judge_report_t:
        uint64_t head
        uint64_t sequence
        uint64_t order
        int64_t price
        uint64_t quantity
        uint64_t resting
        uint64_t incoming
        uint64_t unused
    ctypedef struct judge_queue_t:
        void* (*create)(uint32_t capacity) noexcept nogil
        int (*push)(void* queue, const judge_report_t* report) noexcept nogil
        uint32_t (*drain)(void* queue, judge_report_t* out, uint32_t most) noexcept nogil
        void (*flush)(void* queue) noexcept nogil
        void (*destroy)(void* queue) noexcept nogil
    int engine_python() noexcept nogil

from libc.stdlib cimport getenv

cdef enum:
    PUBLISH_EVERY = 16          # messages of a batch
    KIND_HIGH = 0               # report of no event: `order` holds the upper half of the sequences that follow
    JUDGE_ORDERS = 1 << 20
    JUDGE_PAGES = 1 << 13
    JUDGE_WARM_ORDERS = 1 << 16
    JUDGE_WARM_PAGES = 256

# What the reader writes lies on lines that the writer never looks at.
ctypedef struct engine_t:
    market_t market
    const judge_queue_t* queue  # the caller's, NULL: the ring
    void* sink
    uint64_t high               # of the sequences, as last said in the ring
    bint prefetch
    uint64_t pad1[16]
    report_ring_t* ring         # market.ring, for the reader
    uint64_t high_read          # `high`, on the reader's side
    uint64_t order_high         # reader's side: of the next report's ids
    uint64_t counter_high
    uint64_t pad2[16]


# ---- nautilus_kernel.h

cdef public void* engine_create(const nautilus_options* options) noexcept nogil:
    cdef market_options_t wanted
    cdef engine_t* e
    if options.reports == 0 or options.reports & (options.reports - 1) or engine_python() != 0:
        return NULL
    e = <engine_t*>map_region(sizeof(engine_t), False)
    if e == NULL:
        return NULL
    memset(&wanted, 0, sizeof(wanted))
    wanted.instruments = options.instruments
    wanted.orders = options.orders
    wanted.pages = options.pages
    wanted.reports = options.reports
    wanted.ring = True
    if market_open(&e.market, &wanted) != 0:
        unmap_region(e, sizeof(engine_t))
        return NULL
    e.prefetch = options.prefetch != 0
    e.ring = e.market.ring
    return e


cdef public void engine_destroy(void* engine) noexcept nogil:
    market_close(&(<engine_t*>engine).market)
    unmap_region(engine, sizeof(engine_t))


cdef public void engine_process(
    void* engine, const nautilus_message* messages, uint32_t count
) noexcept nogil:
    cdef market_t* m = &(<engine_t*>engine).market
    cdef const message_t* message = <const message_t*>messages
    cdef uint32_t i
    cdef uint32_t ahead = count if (<engine_t*>engine).prefetch else 0
    for i in range(count):
        if <uint64_t>i + AHEAD_NAME < ahead and m.order_pool.used >= FETCH_FROM:
            client_fetch(m, &message[i])
        client_message(m, &message[i])
        if (i & (PUBLISH_EVERY - 1)) == PUBLISH_EVERY - 1:
            market_publish(m.ring.written, m.written)
    market_publish(m.ring.written, m.written)


cdef inline uint32_t ring_ready(report_ring_t* ring, uint32_t most) noexcept nogil:
    """How many reports the reader may take now, at most so many."""
    cdef uint64_t ready = ring.seen - ring.read
    cdef int i
    if ready == 0:
        ring.seen = market_seen(ring.written)
        ready = ring.seen - ring.read
        if ready != 0 and ready < 16:
            for i in range(4):
                market_pause()
            ring.seen = market_seen(ring.written)
            ready = ring.seen - ring.read
    return <uint32_t>(ready if ready < most else most)


cdef public uint32_t engine_read(void* engine, nautilus_report* reports, uint32_t most) noexcept nogil:
    cdef report_ring_t* ring = (<engine_t*>engine).ring
    cdef uint32_t ready = ring_ready(ring, most)
    cdef uint64_t read = ring.read
    cdef uint32_t i
    for i in range(ready):
        (<report_t*>reports)[i] = ring.reports[(read + i) & (ring.capacity - 1)]
    market_publish(ring.read, read + ready)
    return ready


# ---- The public benchmark. One engine of its own; every function works on it.

cdef engine_t* judged = NULL


cdef engine_t* judge_open(uint64_t reports) noexcept nogil:
    """The benchmark's engine, made at the first call that needs it."""
    global judged
    cdef nautilus_options options
    cdef const char* said = getenv("NAUTILUS_PREFETCH")
    cdef uint64_t places = 1
    if judged == NULL:
        while places < reports:
            places <<= 1
        options.instruments = 1
        options.orders = JUDGE_ORDERS
        options.pages = JUDGE_PAGES
        options.prefetch = said == NULL or said[0] != c"0"
        options.reports = places
        judged = <engine_t*>engine_create(&options)
        if judged != NULL:
            market_warm(&judged.market, JUDGE_WARM_ORDERS, JUDGE_WARM_PAGES)
    return judged


cdef inline bint judge_expand(engine_t* e, const report_t* report, judge_report_t* out) noexcept nogil:
    """A report in the benchmark's own form, on the reader's core; False where it is none."""
    cdef uint64_t type
    if report.kind == EVENT_ACCEPTED:
        type = 0
    elif report.kind == EVENT_FILLED:
        type = 1
    elif report.kind == EVENT_CANCELLED:
        type = 2
    elif report.kind == EVENT_REPLACED:
        type = 3
    elif report.kind == EVENT_REJECTED:
        type = 5 if report.flags & REPORT_OF_REPLACE else 4
    else:
        if report.kind == REPORT_WIDE:
            e.order_high = <uint64_t>report.order << 32
            e.counter_high = <uint64_t>report.counter << 32
        else:
            e.high_read = <uint64_t>report.order << 32
        return False
    out.head = type | <uint64_t>(report.side - 1 if report.side else 0) << 8
    out.sequence = e.high_read | report.aux
    out.order = e.order_high | report.order
    out.price = report.price
    out.quantity = <uint64_t>report.quantity
    out.resting = e.counter_high | report.counter
    out.incoming = out.order
    e.order_high = 0
    e.counter_high = 0
    out.unused = 0
    return True


cdef void* judge_create(uint32_t capacity) noexcept nogil:
    return judge_open(capacity)


cdef int judge_push(void* queue, const judge_report_t* report) noexcept nogil:
    return 0                    # the engine writes its own ring


cdef uint32_t judge_drain(void* queue, judge_report_t* out, uint32_t most) noexcept nogil:
    cdef engine_t* e = <engine_t*>queue
    cdef report_ring_t* ring = e.ring
    cdef uint32_t ready = ring_ready(ring, most)
    cdef uint64_t read = ring.read
    cdef uint32_t i, given = 0
    if ready == 0:
        return 0
    for i in range(ready):
        given += judge_expand(e, &ring.reports[(read + i) & (ring.capacity - 1)], &out[given])
    market_publish(ring.read, read + ready)
    return given


cdef void judge_flush(void* queue) noexcept nogil:
    market_publish((<engine_t*>queue).market.ring.written, (<engine_t*>queue).market.written)


cdef void judge_destroy(void* queue) noexcept nogil:
    global judged
    if judged != NULL:
        engine_destroy(judged)
        judged = NULL


cdef judge_queue_t judge_queue


cdef public const judge_queue_t* engine_get_transport() noexcept nogil:
    cdef const char* said = getenv("NAUTILUS_TRANSPORT")
    if said != NULL and said[0] == c"h":
        return NULL
    judge_queue.create = judge_create
    judge_queue.push = judge_push
    judge_queue.drain = judge_drain
    judge_queue.flush = judge_flush
    judge_queue.destroy = judge_destroy
    return &judge_queue


cdef public void engine_init(uint64_t seed, const judge_queue_t* queue, void* sink) noexcept nogil:
    cdef engine_t* e = judge_open(1 << 20)
    if e != NULL and queue.drain != judge_drain:
        e.queue = queue
        e.sink = sink


cdef public void engine_shutdown() noexcept nogil:
    pass                        # the queue's destroy ends it: the reader may not be done yet


cdef void judge_forward(engine_t* e) noexcept nogil:
    """The ring's reports into the caller's queue, one by one."""
    cdef judge_report_t out
    while judge_drain(e, &out, 1):
        while not e.queue.push(e.sink, &out):
            market_pause()


cdef inline void judge_published(engine_t* e) noexcept nogil:
    market_publish(e.market.ring.written, e.market.written)
    if ladder_unlikely(e.queue != NULL):
        judge_forward(e)


cdef inline void judge_tag(engine_t* e, uint64_t sequence) noexcept nogil:
    if ladder_unlikely(sequence >> 32 != e.high):
        e.high = sequence >> 32
        market_report(&e.market, KIND_HIGH, 0, 0, 0, <uint32_t>e.high, 0, 0, 0)
    e.market.tag = <uint32_t>sequence


cdef inline inlined_int judge_new(engine_t* e, const judge_new_t* said) noexcept nogil:
    judge_tag(e, said.sequence)
    client_new(
        &e.market, e.market.books, said.id, 1 + (said.side & 1), said.price, said.quantity, 0,
        PLAIN_CANCEL if said.ioc else PLAIN_REST
    )


cdef inline inlined_int judge_cancel(engine_t* e, const judge_cancel_t* said) noexcept nogil:
    judge_tag(e, said.sequence)
    client_cancel(&e.market, said.id)


cdef inline inlined_int judge_modify(engine_t* e, const judge_modify_t* said) noexcept nogil:
    judge_tag(e, said.sequence)
    client_replace(&e.market, said.id, said.price, said.quantity)


cdef public void engine_on_new_order(const judge_new_t* said) noexcept nogil:
    judge_new(judged, said)
    judge_published(judged)


cdef public void engine_on_cancel(const judge_cancel_t* said) noexcept nogil:
    judge_cancel(judged, said)
    judge_published(judged)


cdef public void engine_on_modify(const judge_modify_t* said) noexcept nogil:
    judge_modify(judged, said)
    judge_published(judged)


cdef inline void judge_fetch(const market_t* m, const judge_message_t* message) noexcept nogil:
    """Of whatever type the later messages are: a branch on it would miss as often as that of its turn. A new order's id
    leads to no order, a cancel's price to some level."""
    fetch_order(m, message[AHEAD_ORDER].as_new.id)
    fetch_price(m, m.books, 1 + (message[AHEAD_LEVEL].as_new.side & 1), message[AHEAD_LEVEL].as_new.price)


cdef public void engine_on_batch(const judge_message_t* messages, uint32_t count) noexcept nogil:
    cdef engine_t* e = judged
    cdef const judge_message_t* message = messages
    cdef const judge_message_t* end = messages + count
    cdef bint ahead = e.prefetch and count > AHEAD_ORDER and e.market.order_pool.used >= FETCH_FROM
    cdef const judge_message_t* fetched = end - AHEAD_ORDER if ahead else messages
    cdef const judge_message_t* pause
    cdef int type
    while message < end:
        pause = message + PUBLISH_EVERY if end - message > PUBLISH_EVERY else end
        while message < pause:
            if message < fetched:
                judge_fetch(&e.market, message)
            type = <int>(message.type & 0xFF)
            if type == 0:
                judge_new(e, &message.as_new)
            elif type == 1:
                judge_cancel(e, &message.as_cancel)
            else:
                judge_modify(e, &message.as_modify)
            message += 1
        judge_published(e)


cdef public void engine_flush() noexcept nogil:
    judge_published(judged)


cdef public int64_t engine_query_best_bid() noexcept nogil:
    return judged.market.books[0].ladders[0].best


cdef public int64_t engine_query_best_ask() noexcept nogil:
    cdef int64_t best = judged.market.books[0].ladders[1].best
    return -best if best != LADDER_EMPTY else NO_OFFER


cdef public uint64_t engine_query_depth_at(int64_t price, uint8_t side) noexcept nogil:
    return <uint64_t>market_depth(&judged.market, 0, 1 + (side & 1), price)
