"""One side of a market's book: price levels in pages, the best known, every operation of bounded cost.

Threading contract: one thread. Nothing here allocates: pages and nodes come from pools.

A price is kept as its `rank`: price for buys, -price for sells, so that the best level of either side has the highest
rank and there is one code path. 512 consecutive ranks are a page. All levels lie in one array; a level's number,
`page * 512 + slot`, leads an order to its level by one addition, and the level's page and price by two shifts.

    book ── ladder ── 2 leaves kept at hand ──► leaf: 64 pages ──► page: number, one bit a level ──► 512 levels, 16 bytes each
                 └── root ── nodes of 64 ────────┘    (as deep as the spread of its prices asks for, 6 at most)

A leaf spans 32,768 ranks and neighbouring leaves are both at hand, so near the touch an operation looks at one entry of
the leaf, the page, the level and the neighbour orders. Further out it goes down at most six nodes for prices of +-2^40.
Nothing is ever moved: there is no window to re-centre, and no stall.

A page that empties stays where it is, idle: one bit is cleared on the way up, and set again by the next order. Idle pages
of all ladders form one queue; its oldest is given back where their number passes a limit or the pool is empty. An unused
ladder is one cache line of zeros: any number of them costs little.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.pool cimport pool_at, pool_give, pool_t, pool_take

cdef extern from *:
    """
    #ifndef NAUTILUS_LADDER_H
    #define NAUTILUS_LADDER_H
    #include <stdint.h>
    #define ladder_likely(x) __builtin_expect(!!(x), 1)
    #define ladder_unlikely(x) __builtin_expect(!!(x), 0)
    static inline int ladder_high_bit(uint64_t word) { return 63 - __builtin_clzll(word); }
    /* One of two addresses without a branch: whether an order is the first or last of its level is not predictable. */
    static inline uint32_t *ladder_choose(uint32_t which, uint32_t *some, uint32_t *none)
    {
        return __builtin_expect_with_probability(which != 0, 1, 0.5) ? some : none;
    }
    #endif
    """
    bint ladder_likely(bint condition) noexcept nogil
    bint ladder_unlikely(bint condition) noexcept nogil
    int ladder_high_bit(uint64_t word) noexcept nogil
    uint32_t* ladder_choose(uint32_t which, uint32_t* some, uint32_t* none) noexcept nogil

cdef enum:
    LADDER_DEPTH = 6            # 64^6 pages of 512 ranks are more than the 2^41 ranks that there are
    LADDER_AT_HAND = 2

ctypedef struct level_t:
    int64_t quantity            # of all its orders
    uint32_t head               # first in time, 0: the level is empty
    uint32_t tail

ctypedef struct page_t:
    uint64_t summary            # bit per word, 0: idle; the pool keeps its link here
    int64_t number              # rank >> 9
    uint64_t words[8]           # bit per level
    ladder_t* ladder
    uint32_t owner              # what the user of the ladder says: the number of the book
    uint32_t leaf               # node that leads here
    uint32_t idle_next          # towards the newest
    uint32_t idle_prev
    uint64_t pad[3]             # to two cache lines

ctypedef struct node_t:
    uint64_t bits               # bit per child that holds orders; the pool keeps its link here
    uint32_t parent             # 0: the root
    uint32_t at                 # place there
    uint32_t children           # how many there are, idle ones too
    uint32_t pad[11]
    uint32_t child[64]          # nodes; of a leaf: pages

ctypedef struct ladder_t:
    int64_t best                # rank of the best level, LADDER_EMPTY: none
    uint32_t best_level
    uint32_t root               # node, 0: no page
    int64_t prefix              # what all keys below the root share
    int64_t hand_key[LADDER_AT_HAND]    # leaves at hand: key >> 6 of their pages
    uint32_t hand[LADDER_AT_HAND]
    uint32_t height             # nodes on the way down
    uint32_t side               # 1 buy, 2 sell

# What the ladders of one market share.
ctypedef struct pages_t:
    page_t* headers
    level_t* levels             # (pool.capacity + 1) * 512
    node_t* nodes
    pool_t pool                 # of headers
    pool_t node_pool
    uint32_t idle_oldest
    uint32_t idle_newest
    uint32_t idle
    uint32_t idle_limit


cdef extern from *:
    """
    #define LADDER_EMPTY INT64_MIN
    #define LADDER_KEY_ZERO ((int64_t)1 << 33)
    """
    const int64_t LADDER_EMPTY
    const int64_t LADDER_KEY_ZERO   # makes keys of page numbers: not negative, in their order


# ---- Nodes. A page's key is its number + LADDER_KEY_ZERO.

cdef inline uint32_t node_new(pages_t* pages) noexcept nogil:
    """There is one: `ladder_bring` has looked. Children of its last use are all gone."""
    cdef uint32_t index = pool_take(&pages.node_pool)
    cdef node_t* node = &pages.nodes[index]
    node.bits = 0
    node.parent = 0
    node.children = 0
    return index


cdef inline void node_adopt(pages_t* pages, uint32_t parent, uint32_t at, uint32_t index) noexcept nogil:
    pages.nodes[parent].child[at] = index
    pages.nodes[parent].children += 1
    pages.nodes[index].parent = parent
    pages.nodes[index].at = at


cdef inline uint32_t leaf_find(const pages_t* pages, const ladder_t* ladder, int64_t key) noexcept nogil:
    """The leaf of a key, 0: none."""
    cdef uint32_t index = ladder.root
    cdef int shift = 6 * <int>ladder.height
    if index == 0 or key >> shift != ladder.prefix:
        return 0
    while shift > 6 and index:
        shift -= 6
        index = pages.nodes[index].child[(key >> shift) & 63]
    return index


cdef inline uint32_t leaf_make(pages_t* pages, ladder_t* ladder, int64_t key) noexcept nogil:
    cdef uint32_t index, at
    cdef int shift
    if ladder.root == 0:
        ladder.root = node_new(pages)
        ladder.height = 1
        ladder.prefix = key >> 6
    while key >> (6 * <int>ladder.height) != ladder.prefix:
        index = node_new(pages)
        at = <uint32_t>(ladder.prefix & 63)
        node_adopt(pages, index, at, ladder.root)
        pages.nodes[index].bits = (<uint64_t>(pages.nodes[ladder.root].bits != 0)) << at
        ladder.root = index
        ladder.prefix >>= 6
        ladder.height += 1
    shift = 6 * <int>ladder.height
    index = ladder.root
    while shift > 6:
        shift -= 6
        at = <uint32_t>((key >> shift) & 63)
        if pages.nodes[index].child[at] == 0:
            node_adopt(pages, index, at, node_new(pages))
        index = pages.nodes[index].child[at]
    return index


cdef inline void node_drop(pages_t* pages, ladder_t* ladder, uint32_t index) noexcept nogil:
    """A node that has no child left goes, with those above that it leaves empty; a root with one child is none."""
    cdef uint32_t parent
    cdef node_t* node
    cdef int i
    while pages.nodes[index].children == 0:
        parent = pages.nodes[index].parent
        for i in range(LADDER_AT_HAND):
            if ladder.hand[i] == index:
                ladder.hand[i] = 0
        if parent:
            pages.nodes[parent].child[pages.nodes[index].at] = 0
            pages.nodes[parent].children -= 1
        pool_give(&pages.node_pool, index)
        if parent == 0:
            ladder.root = 0
            ladder.height = 0
            return
        index = parent
    while ladder.height > 1 and pages.nodes[ladder.root].children == 1:
        node = &pages.nodes[ladder.root]
        i = 0
        while node.child[i] == 0:
            i += 1
        index = node.child[i]
        node.child[i] = 0
        pool_give(&pages.node_pool, ladder.root)
        ladder.root = index
        pages.nodes[index].parent = 0
        ladder.prefix = (ladder.prefix << 6) | i
        ladder.height -= 1


cdef inline void bits_set(pages_t* pages, uint32_t index, uint32_t at) noexcept nogil:
    """Child `at` of a node holds orders again; nodes above learn it where this was the first."""
    cdef uint64_t before
    while True:
        before = pages.nodes[index].bits
        pages.nodes[index].bits = before | (<uint64_t>1) << at
        if ladder_likely(before != 0) or pages.nodes[index].parent == 0:
            return
        at = pages.nodes[index].at
        index = pages.nodes[index].parent


cdef inline void bits_clear(pages_t* pages, uint32_t index, uint32_t at) noexcept nogil:
    while True:
        pages.nodes[index].bits &= ~((<uint64_t>1) << at)
        if ladder_likely(pages.nodes[index].bits != 0) or pages.nodes[index].parent == 0:
            return
        at = pages.nodes[index].at
        index = pages.nodes[index].parent


cdef inline uint32_t page_last(const pages_t* pages, uint32_t index, uint32_t height) noexcept nogil:
    """The page of the highest number with orders below a node that has some; `height` nodes down."""
    while height:
        index = pages.nodes[index].child[ladder_high_bit(pages.nodes[index].bits)]
        height -= 1
    return index


cdef inline uint32_t page_below(
    const pages_t* pages, uint32_t index, uint32_t at, uint32_t height
) noexcept nogil:
    """The page of the highest number with orders before child `at` of a node; 0: none."""
    cdef uint64_t lower
    while True:
        lower = pages.nodes[index].bits & (((<uint64_t>1) << at) - 1)
        if lower:
            return page_last(pages, pages.nodes[index].child[ladder_high_bit(lower)], height - 1)
        at = pages.nodes[index].at
        index = pages.nodes[index].parent
        height += 1
        if index == 0:
            return 0


# ---- Pages

cdef inline void idle_leave(pages_t* pages, page_t* page) noexcept nogil:
    ladder_choose(page.idle_prev, &pages.headers[page.idle_prev].idle_next, &pages.idle_oldest)[0] = page.idle_next
    ladder_choose(page.idle_next, &pages.headers[page.idle_next].idle_prev, &pages.idle_newest)[0] = page.idle_prev
    pages.idle -= 1


cdef inline void idle_join(pages_t* pages, page_t* page, uint32_t index) noexcept nogil:
    cdef uint32_t newest = pages.idle_newest
    page.idle_next = 0
    page.idle_prev = newest
    ladder_choose(newest, &pages.headers[newest].idle_next, &pages.idle_oldest)[0] = index
    pages.idle_newest = index
    pages.idle += 1


cdef inline void idle_reclaim(pages_t* pages) noexcept nogil:
    """The page that has been idle longest goes back to the pool."""
    cdef uint32_t index = pages.idle_oldest
    cdef page_t* page = &pages.headers[index]
    idle_leave(pages, page)
    pages.nodes[page.leaf].child[page.number & 63] = 0
    pages.nodes[page.leaf].children -= 1
    if pages.nodes[page.leaf].children == 0:
        node_drop(pages, page.ladder, page.leaf)
    pool_give(&pages.pool, index)


cdef inline uint32_t page_find(const pages_t* pages, const ladder_t* ladder, int64_t number) noexcept nogil:
    """The page of that number, idle or not; 0: none."""
    cdef int64_t key = number + LADDER_KEY_ZERO
    cdef uint32_t at = <uint32_t>((key >> 6) & (LADDER_AT_HAND - 1))
    cdef uint32_t leaf = ladder.hand[at]
    if ladder_unlikely(ladder.hand_key[at] != key >> 6):
        leaf = leaf_find(pages, ladder, key)
    return pages.nodes[leaf].child[key & 63]    # node 0 has no children


cdef inline uint32_t page_bring(pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t number) noexcept nogil:
    """As page_find, with its leaf at hand from now on and the page made where there is none; 0: no more memory."""
    cdef int64_t key = number + LADDER_KEY_ZERO
    cdef uint32_t at = <uint32_t>((key >> 6) & (LADDER_AT_HAND - 1))
    cdef uint32_t leaf = leaf_find(pages, ladder, key)
    cdef uint32_t index = pages.nodes[leaf].child[key & 63]
    cdef page_t* page
    if index == 0:
        if pages.pool.used == pages.pool.capacity and pages.idle:
            idle_reclaim(pages)
        if (
            pages.pool.used == pages.pool.capacity
            or pages.node_pool.capacity - pages.node_pool.used < 2 * LADDER_DEPTH
        ):
            return 0
        leaf = leaf_make(pages, ladder, key)
        index = pool_take(&pages.pool)
        page = &pages.headers[index]
        page.summary = 0
        page.number = number
        page.ladder = ladder
        page.owner = owner
        page.leaf = leaf
        pages.nodes[leaf].child[key & 63] = index
        pages.nodes[leaf].children += 1
        idle_join(pages, page, index)
    ladder.hand_key[at] = key >> 6
    ladder.hand[at] = leaf
    return index


cdef inline uint32_t page_at_hand(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """For fetching ahead: the page of a rank where its leaf is at hand, else 0. A wish is never wrong."""
    cdef int64_t key = (rank >> 9) + LADDER_KEY_ZERO
    if ladder.hand_key[(key >> 6) & (LADDER_AT_HAND - 1)] != key >> 6:
        return 0
    return pages.nodes[ladder.hand[(key >> 6) & (LADDER_AT_HAND - 1)]].child[key & 63]


# ---- Levels

cdef inline int64_t level_rank(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.headers[level >> 9].number * 512 + (level & 511)


cdef inline uint32_t ladder_find(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The level at `rank`, 0 where no page covers it. It may be empty: its head tells."""
    cdef uint32_t index = page_find(pages, ladder, rank >> 9)
    return (index << 9) | <uint32_t>(rank & 511) if index else 0


cdef inline uint32_t ladder_take(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t rank
) noexcept nogil:
    """The level at `rank`, marked as in use; the caller adds an order to it. 0 where no page is left."""
    cdef int64_t key = (rank >> 9) + LADDER_KEY_ZERO
    cdef uint32_t slot = <uint32_t>(rank & 511)
    cdef uint32_t at = <uint32_t>((key >> 6) & (LADDER_AT_HAND - 1))
    cdef uint32_t index = 0
    cdef page_t* page
    cdef uint32_t level
    cdef bint better
    if ladder_likely(ladder.hand_key[at] == key >> 6):
        index = pages.nodes[ladder.hand[at]].child[key & 63]
    if ladder_unlikely(index == 0):
        index = page_bring(pages, ladder, owner, rank >> 9)
        if index == 0:
            return 0
    page = &pages.headers[index]
    if ladder_unlikely(page.summary == 0):
        idle_leave(pages, page)
        bits_set(pages, page.leaf, <uint32_t>(page.number & 63))
    level = (index << 9) | slot
    page.words[slot >> 6] |= (<uint64_t>1) << (slot & 63)
    page.summary |= (<uint64_t>1) << (slot >> 6)
    better = rank > ladder.best
    ladder.best = rank if better else ladder.best
    ladder.best_level = level if better else ladder.best_level
    return level


cdef inline uint32_t page_top(const pages_t* pages, uint32_t index) noexcept nogil:
    """The highest level in use of a page."""
    cdef const page_t* page = &pages.headers[index]
    cdef int word = ladder_high_bit(page.summary)
    return (index << 9) | (word << 6) | ladder_high_bit(page.words[word])


cdef inline uint32_t ladder_below(const pages_t* pages, uint32_t level) noexcept nogil:
    """The best level in use that is worse than this one, 0: none. The level itself may be empty by now."""
    cdef uint32_t index = level >> 9
    cdef uint32_t slot = level & 511
    cdef const page_t* page = &pages.headers[index]
    cdef uint64_t word = page.words[slot >> 6] & (((<uint64_t>1) << (slot & 63)) - 1)
    cdef int high
    if word:
        return (level & ~(<uint32_t>63)) | ladder_high_bit(word)
    word = page.summary & (((<uint64_t>1) << (slot >> 6)) - 1)
    if word:
        high = ladder_high_bit(word)
        return (index << 9) | (high << 6) | ladder_high_bit(page.words[high])
    index = page_below(pages, page.leaf, <uint32_t>(page.number & 63), 1)
    return page_top(pages, index) if index else 0


cdef inline uint32_t ladder_worse(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best level in use whose rank is below `rank`, 0: none; no level need be at `rank`."""
    cdef uint32_t level = ladder_find(pages, ladder, rank)
    cdef int64_t key = (rank >> 9) + LADDER_KEY_ZERO
    cdef uint32_t height = ladder.height, index = ladder.root, at
    if level:
        return ladder_below(pages, level)
    if index == 0 or pages.nodes[index].bits == 0 or key >> (6 * <int>height) < ladder.prefix:
        return 0
    if key >> (6 * <int>height) > ladder.prefix:
        return page_top(pages, page_last(pages, index, height))
    while True:
        at = <uint32_t>((key >> (6 * <int>(height - 1))) & 63)
        if height == 1 or pages.nodes[index].child[at] == 0:
            break
        index = pages.nodes[index].child[at]
        height -= 1
    index = page_below(pages, index, at, height)
    return page_top(pages, index) if index else 0


cdef inline void ladder_give(pages_t* pages, ladder_t* ladder, uint32_t level) noexcept nogil:
    """The level's last order has left: its bit is cleared, the next best level found, its page may go."""
    cdef uint32_t slot = level & 511
    cdef page_t* page = &pages.headers[level >> 9]
    cdef uint64_t word = page.words[slot >> 6] & ~((<uint64_t>1) << (slot & 63))
    cdef uint32_t after
    page.words[slot >> 6] = word
    if word == 0:
        page.summary &= ~((<uint64_t>1) << (slot >> 6))
    if ladder.best_level == level:
        after = ladder_below(pages, level)
        ladder.best_level = after
        ladder.best = level_rank(pages, after) if after else LADDER_EMPTY
    if ladder_unlikely(page.summary == 0):
        bits_clear(pages, page.leaf, <uint32_t>(page.number & 63))
        idle_join(pages, page, level >> 9)
        if pages.idle > pages.idle_limit:
            idle_reclaim(pages)


cdef inline void ladder_open(ladder_t* ladder, uint32_t side) noexcept nogil:
    """A ladder from zeroed memory."""
    ladder.best = LADDER_EMPTY
    ladder.hand_key[0] = LADDER_EMPTY   # the key of no page
    ladder.hand_key[1] = LADDER_EMPTY
    ladder.side = side
