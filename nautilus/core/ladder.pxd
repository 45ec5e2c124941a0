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

The few best levels (`tops`, worst first) stand in the ladder itself and in no bit; all others are worse than these and each
has its bit. Orders that come and go in the spread, the bulk of a venue's traffic, so touch no bit and search nothing: a new
best level is pushed, the next best is the one below. Where the tops run full the worst two get their bits; where none is
left the best one that has a bit follows.

A page that empties stays where it is, idle, and serves the next order there. Pages that were idle once form one queue
over all ladders, which is kept lazily: a page that wakes stays in it, and is passed over when its turn comes. When a page
is made while too many are idle, or with none left in the pool, the first that has slept since it joined is given
back. An unused ladder is two cache lines of zeros: any number of them costs little.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.inlining cimport apart_int, apart_uint32, inlined_int, inlined_uint32
from nautilus.core.pool cimport pool_give, pool_t, pool_take

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
    LADDER_LOOKS = 4            # at pages of the queue, where one idle page too many is to go
    LADDER_TOPS = 5             # to two cache lines

ctypedef struct level_t:
    int64_t quantity            # of all its orders
    uint32_t head               # first in time, 0: the level is empty
    uint32_t tail

ctypedef struct page_t:
    uint64_t summary            # bit per word; the pool keeps its link here
    int64_t number              # rank >> 9
    uint32_t used               # levels with orders, tops included; 0: idle
    uint8_t candidate           # in the queue of pages that were idle
    uint8_t woken               # since it joined it
    uint8_t pad[2]
    uint32_t candidate_next     # towards the newest
    uint32_t leaf               # node that leads here
    uint64_t words[8]           # bit per level that is no top
    ladder_t* ladder
    uint64_t owner              # what the user of the ladder says: the number of the book
    uint64_t rest[2]            # to two cache lines

ctypedef struct node_t:
    uint64_t bits               # bit per child below which a level has its bit; the pool keeps its link here
    uint32_t parent             # 0: the root
    uint32_t at                 # place there
    uint32_t children           # how many there are, idle ones too
    uint32_t pad[11]
    uint32_t child[64]          # nodes; of a leaf: pages

ctypedef struct ladder_t:
    int64_t best                # rank of the best level, LADDER_EMPTY: none
    uint32_t best_level
    uint32_t tops               # how many; 0: the ladder is empty
    int64_t hand_key[LADDER_AT_HAND]    # leaves at hand: number >> 6 of their pages, LADDER_EMPTY: none
    node_t* hand[LADDER_AT_HAND]
    uint32_t root               # node, 0: no page
    uint32_t height             # nodes on the way down
    int64_t prefix              # what all keys below the root share
    int64_t top_rank[LADDER_TOPS]       # ascending: the last one is the best
    uint32_t top_level[LADDER_TOPS]
    uint32_t side               # 1 buy, 2 sell

# What the ladders of one market share.
ctypedef struct pages_t:
    page_t* headers
    level_t* levels             # (pool.capacity + 1) * 512
    node_t* nodes
    pool_t pool                 # of headers
    pool_t node_pool
    uint32_t candidate_oldest
    uint32_t candidate_newest
    uint32_t idle               # pages without orders
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
            if ladder.hand[i] == &pages.nodes[index]:
                ladder.hand_key[i] = LADDER_EMPTY
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

cdef inline apart_int candidate_join(pages_t* pages, page_t* page, uint32_t index) noexcept nogil:
    page.candidate = 1
    page.candidate_next = 0
    page.woken = 0
    if pages.candidate_oldest:
        pages.headers[pages.candidate_newest].candidate_next = index
    else:
        pages.candidate_oldest = index
    pages.candidate_newest = index
    return 0


cdef inline bint candidate_reclaim(pages_t* pages) noexcept nogil:
    """Looks at the oldest page of the queue, which is not empty; True where it has gone back to the pool."""
    cdef uint32_t index = pages.candidate_oldest
    cdef page_t* page = &pages.headers[index]
    pages.candidate_oldest = page.candidate_next
    page.candidate = 0
    if page.used:
        return False
    if page.woken:
        candidate_join(pages, page, index)
        return False
    pages.idle -= 1
    pages.nodes[page.leaf].child[page.number & 63] = 0
    pages.nodes[page.leaf].children -= 1
    if pages.nodes[page.leaf].children == 0:
        node_drop(pages, page.ladder, page.leaf)
    pool_give(&pages.pool, index)
    return True


cdef inline apart_uint32 page_look(const pages_t* pages, const ladder_t* ladder, int64_t number) noexcept nogil:
    """As page_find, where the leaf is not at hand."""
    return pages.nodes[leaf_find(pages, ladder, number + LADDER_KEY_ZERO)].child[number & 63]  # node 0 has no children


cdef inline uint32_t page_at_hand(const ladder_t* ladder, int64_t number) noexcept nogil:
    """The page of that number where its leaf is at hand and leads to it, else 0."""
    if ladder_unlikely(ladder.hand_key[(number >> 6) & (LADDER_AT_HAND - 1)] != number >> 6):
        return 0
    return ladder.hand[(number >> 6) & (LADDER_AT_HAND - 1)].child[number & 63]


cdef inline uint32_t page_find(const pages_t* pages, const ladder_t* ladder, int64_t number) noexcept nogil:
    """The page of that number, idle or not; 0: none."""
    cdef uint32_t index = page_at_hand(ladder, number)
    return index if index else page_look(pages, ladder, number)


cdef inline apart_uint32 page_bring(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t number
) noexcept nogil:
    """As page_find, with its leaf at hand from now on and the page made where there is none; 0: no more memory."""
    cdef int64_t key = number + LADDER_KEY_ZERO
    cdef uint32_t at = <uint32_t>((number >> 6) & (LADDER_AT_HAND - 1))
    cdef uint32_t leaf = leaf_find(pages, ladder, key)
    cdef uint32_t index = pages.nodes[leaf].child[key & 63]
    cdef page_t* page
    cdef int looks = 0
    if index == 0:
        while looks < LADDER_LOOKS and pages.idle > pages.idle_limit and not candidate_reclaim(pages):
            looks += 1
        while pages.pool.used == pages.pool.capacity and pages.idle:
            candidate_reclaim(pages)
        if (
            pages.pool.used == pages.pool.capacity
            or pages.node_pool.capacity - pages.node_pool.used < 2 * LADDER_DEPTH
        ):
            return 0
        leaf = leaf_make(pages, ladder, key)
        index = pool_take(&pages.pool)
        page = &pages.headers[index]
        page.summary = 0
        page.used = 0
        page.number = number
        page.ladder = ladder
        page.owner = owner
        page.leaf = leaf
        pages.nodes[leaf].child[key & 63] = index
        pages.nodes[leaf].children += 1
        pages.idle += 1
        candidate_join(pages, page, index)
    ladder.hand_key[at] = number >> 6
    ladder.hand[at] = &pages.nodes[leaf]
    return index


# ---- Levels

cdef inline int64_t level_rank(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.headers[level >> 9].number * 512 + (level & 511)


cdef inline uint32_t ladder_find(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The level at `rank`, 0 where no page covers it. It may be empty: its head tells."""
    cdef uint32_t index = page_find(pages, ladder, rank >> 9)
    return (index << 9) | <uint32_t>(rank & 511) if index else 0


cdef inline inlined_uint32 ladder_level(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t rank
) noexcept nogil:
    """The level at `rank`, its page made where there is none; 0 where no page is left. An empty one is not marked."""
    cdef uint32_t index = page_at_hand(ladder, rank >> 9)
    if ladder_unlikely(index == 0):
        index = page_bring(pages, ladder, owner, rank >> 9)
        if index == 0:
            return 0
    return (index << 9) | <uint32_t>(rank & 511)


cdef inline void level_bit_set(pages_t* pages, uint32_t level) noexcept nogil:
    cdef page_t* page = &pages.headers[level >> 9]
    cdef uint32_t at = (level & 511) >> 6
    if page.summary == 0:
        bits_set(pages, page.leaf, <uint32_t>(page.number & 63))
    page.summary |= (<uint64_t>1) << at
    page.words[at] |= (<uint64_t>1) << (level & 63)


cdef inline void level_bit_clear(pages_t* pages, uint32_t level) noexcept nogil:
    cdef page_t* page = &pages.headers[level >> 9]
    cdef uint32_t at = (level & 511) >> 6
    page.words[at] &= ~((<uint64_t>1) << (level & 63))
    if page.words[at] == 0:
        page.summary &= ~((<uint64_t>1) << at)
        if page.summary == 0:
            bits_clear(pages, page.leaf, <uint32_t>(page.number & 63))


cdef inline void tops_put(ladder_t* ladder, uint32_t at, uint32_t level, int64_t rank) noexcept nogil:
    """Enters a top at a place; there is room."""
    cdef uint32_t i = ladder.tops
    while i > at:
        ladder.top_rank[i] = ladder.top_rank[i - 1]
        ladder.top_level[i] = ladder.top_level[i - 1]
        i -= 1
    ladder.top_rank[at] = rank
    ladder.top_level[at] = level
    ladder.tops += 1


cdef inline void tops_remove(ladder_t* ladder, uint32_t at) noexcept nogil:
    ladder.tops -= 1
    while at < ladder.tops:
        ladder.top_rank[at] = ladder.top_rank[at + 1]
        ladder.top_level[at] = ladder.top_level[at + 1]
        at += 1


cdef inline void tops_spill(pages_t* pages, ladder_t* ladder) noexcept nogil:
    """The worst top gets its bit."""
    level_bit_set(pages, ladder.top_level[0])
    tops_remove(ladder, 0)


cdef inline apart_int ladder_mark_other(pages_t* pages, ladder_t* ladder, uint32_t level, int64_t rank) noexcept nogil:
    """As ladder_mark, where the level is not the best, or the tops are full."""
    cdef uint32_t at = 0
    if rank < ladder.top_rank[0]:
        level_bit_set(pages, level)
        return 0
    if ladder.tops == LADDER_TOPS:
        tops_spill(pages, ladder)
        if rank > ladder.best:          # more of these are to come
            tops_spill(pages, ladder)
    while at < ladder.tops and ladder.top_rank[at] < rank:
        at += 1
    tops_put(ladder, at, level, rank)
    if rank > ladder.best:
        ladder.best = rank
        ladder.best_level = level
    return 0


cdef inline inlined_int ladder_mark(pages_t* pages, ladder_t* ladder, uint32_t level, int64_t rank) noexcept nogil:
    """A level, empty so far, gets its first order from the caller."""
    cdef page_t* page = &pages.headers[level >> 9]
    cdef uint32_t tops = ladder.tops
    pages.idle -= page.used == 0
    page.used += 1
    page.woken = 1
    if ladder_likely(rank > ladder.best and tops < LADDER_TOPS):
        ladder.best = rank
        ladder.best_level = level
        ladder.top_rank[tops] = rank
        ladder.top_level[tops] = level
        ladder.tops = tops + 1
        return 0
    ladder_mark_other(pages, ladder, level, rank)
    return 0


cdef inline uint32_t ladder_take(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t rank
) noexcept nogil:
    """The level at `rank`, marked as in use; the caller adds an order to it. 0 where no page is left."""
    cdef uint32_t level = ladder_level(pages, ladder, owner, rank)
    if level and pages.levels[level].tail == 0:
        ladder_mark(pages, ladder, level, rank)
    return level


cdef inline uint32_t page_top(const pages_t* pages, uint32_t index) noexcept nogil:
    """The highest level in use of a page."""
    cdef const page_t* page = &pages.headers[index]
    cdef int word = ladder_high_bit(page.summary)
    return (index << 9) | (word << 6) | ladder_high_bit(page.words[word])


cdef inline uint32_t level_below(const pages_t* pages, uint32_t level) noexcept nogil:
    """The best level with a bit that is worse than this one, 0: none."""
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


cdef inline uint32_t bits_best(const pages_t* pages, const ladder_t* ladder) noexcept nogil:
    """The best level with a bit, 0: none."""
    if ladder.root == 0 or pages.nodes[ladder.root].bits == 0:
        return 0
    return page_top(pages, page_last(pages, ladder.root, ladder.height))


cdef inline uint32_t tops_below(const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best top that is worse than `rank`, 0: none."""
    cdef uint32_t at = ladder.tops
    while at:
        at -= 1
        if ladder.top_rank[at] < rank:
            return ladder.top_level[at]
    return 0


cdef inline uint32_t ladder_below(const pages_t* pages, uint32_t level) noexcept nogil:
    """The best level in use that is worse than this one, 0: none. The level itself may be empty by now."""
    cdef uint32_t below = tops_below(pages.headers[level >> 9].ladder, level_rank(pages, level))
    return below if below else level_below(pages, level)


cdef inline uint32_t ladder_worse(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best level in use whose rank is below `rank`, 0: none; no level need be at `rank`."""
    cdef uint32_t level = tops_below(ladder, rank)
    cdef int64_t key = (rank >> 9) + LADDER_KEY_ZERO
    cdef uint32_t height = ladder.height, index = ladder.root, at
    if level:
        return level
    level = ladder_find(pages, ladder, rank)
    if level:
        return level_below(pages, level)
    if index == 0 or pages.nodes[index].bits == 0 or key >> (6 * <int>height) < ladder.prefix:
        return 0
    if key >> (6 * <int>height) > ladder.prefix:
        return bits_best(pages, ladder)
    while True:
        at = <uint32_t>((key >> (6 * <int>(height - 1))) & 63)
        if height == 1 or pages.nodes[index].child[at] == 0:
            break
        index = pages.nodes[index].child[at]
        height -= 1
    index = page_below(pages, index, at, height)
    return page_top(pages, index) if index else 0


cdef inline apart_int ladder_give_other(pages_t* pages, ladder_t* ladder, uint32_t level) noexcept nogil:
    """As ladder_give, where the level is not the best, or the only top."""
    cdef uint32_t at = 0
    if ladder.best_level != level:
        while at < ladder.tops and ladder.top_level[at] != level:
            at += 1
        if at < ladder.tops:
            tops_remove(ladder, at)
        else:
            level_bit_clear(pages, level)
        return 0
    ladder.tops = 0
    ladder.best_level = bits_best(pages, ladder)
    ladder.best = LADDER_EMPTY
    if ladder.best_level:
        ladder.best = level_rank(pages, ladder.best_level)
        level_bit_clear(pages, ladder.best_level)
        tops_put(ladder, 0, ladder.best_level, ladder.best)
    return 0


cdef inline inlined_int ladder_give(pages_t* pages, ladder_t* ladder, uint32_t level) noexcept nogil:
    """The level's last order has left: the next best one is found, its page may sleep."""
    cdef page_t* page = &pages.headers[level >> 9]
    cdef uint32_t tops = ladder.tops
    page.used -= 1
    pages.idle += page.used == 0
    if ladder_unlikely((page.used | page.candidate) == 0):
        candidate_join(pages, page, level >> 9)
    if ladder_likely(ladder.best_level == level and tops > 1):
        ladder.tops = tops - 1
        ladder.best = ladder.top_rank[tops - 2]
        ladder.best_level = ladder.top_level[tops - 2]
        return 0
    ladder_give_other(pages, ladder, level)
    return 0


cdef inline void ladder_open(ladder_t* ladder, uint32_t side) noexcept nogil:
    """A ladder from zeroed memory."""
    ladder.best = LADDER_EMPTY
    ladder.hand_key[0] = LADDER_EMPTY   # the key of no page
    ladder.hand_key[1] = LADDER_EMPTY
    ladder.side = side
