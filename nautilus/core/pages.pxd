"""What ladders (ladder.pxd) lie in: nodes that lead to pages, pages, blocks of levels, and the memory of all of them.

Threading contract: one thread. Nothing here allocates after `pages_open`. Every operation is of bounded cost but one: where
the last page is in use, and pages that woke again stand before an idle one in the queue, these are passed over first.

A page that empties stays where it is, idle, and serves the next order there. Pages that were idle once form one queue
over all ladders, which is kept lazily: a page that wakes stays in it, and is passed over when its turn comes. When a page
is made while too many are idle, or with none left in the pool, the first that has slept since it joined is given
back.
"""


from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.inlining cimport apart_int, apart_uint32, inlined_int, inlined_uint32
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.pool cimport pool_close, pool_give, pool_open, pool_pop, pool_push, pool_t, pool_take

cdef extern from *:
    """
    #ifndef NAUTILUS_LADDER_H
    #define NAUTILUS_LADDER_H
    #include <stdint.h>
    #define ladder_likely(x) __builtin_expect(!!(x), 1)
    #define ladder_unlikely(x) __builtin_expect(!!(x), 0)
    #include <assert.h>
    #define ladder_assert(x) assert(x)      /* debug build alone */
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
    void ladder_assert(bint condition) noexcept nogil
    int ladder_high_bit(uint64_t word) noexcept nogil
    uint32_t* ladder_choose(uint32_t which, uint32_t* some, uint32_t* none) noexcept nogil

cdef enum:
    LADDER_DEPTH = 6            # 64^6 pages of 512 ranks are more than the 2^43 ranks that there are
    LADDER_AT_HAND = 2
    LADDER_LOOKS = 4            # at pages of the queue, where one idle page too many is to go
    LADDER_TOPS = 5             # to two cache lines

ctypedef struct level_t:
    int64_t quantity            # of all its orders
    uint32_t head               # first in time, 0: the level is empty
    uint32_t tail

ctypedef struct page_t:
    uint8_t summary             # bit per word; the pool keeps its link here and in the next three
    uint8_t used                # blocks; 0: idle
    uint8_t candidate           # in the queue of pages that were idle
    uint8_t woken               # since it joined it
    uint32_t owner              # what the user of the ladder says: the number of the book
    int64_t number              # rank >> 9
    ladder_t* ladder
    uint32_t leaf               # node that leads here
    uint32_t candidate_next     # towards the newest
    uint32_t blocks[8]          # 0: none
    uint64_t words[8]           # bit per level that is no top

ctypedef struct block_t:
    uint32_t used               # levels with orders; the pool keeps its link here
    uint32_t page
    int64_t first               # rank of its first level
    ladder_t* ladder
    uint32_t owner              # as of the page
    uint32_t pad

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
    int64_t hand_key[LADDER_AT_HAND]    # leaves at hand: `hand_of` their pages, 0: none
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
    block_t* blocks
    level_t* levels             # 64 of each block
    node_t* nodes
    pool_t pool                 # of headers
    pool_t block_pool           # 8 to a page: a page that is there finds its blocks
    pool_t node_pool
    uint32_t candidate_oldest
    uint32_t candidate_newest
    uint32_t idle               # pages without orders
    uint32_t idle_limit


cdef extern from *:
    """
    #define LADDER_EMPTY INT64_MIN
    #define LADDER_KEY_ZERO ((int64_t)1 << 33)
    #define LADDER_HAND_ZERO ((int64_t)1 << 50)
    """
    const int64_t LADDER_EMPTY
    const int64_t LADDER_KEY_ZERO   # makes keys of page numbers: not negative, in their order
    const int64_t LADDER_HAND_ZERO  # makes names of leaves: not 0 for any 64-bit rank, also one that is only asked for


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
                ladder.hand_key[i] = 0
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


cdef inline int64_t hand_of(int64_t number) noexcept nogil:
    """Names the leaf of a page; never 0, so that an unused ladder has none at hand."""
    return (number >> 6) + LADDER_HAND_ZERO


cdef inline uint32_t page_at_hand(const ladder_t* ladder, int64_t number) noexcept nogil:
    """The page of that number where its leaf is at hand and leads to it, else 0."""
    cdef int64_t key = hand_of(number)
    if ladder_unlikely(ladder.hand_key[key & (LADDER_AT_HAND - 1)] != key):
        return 0
    return ladder.hand[key & (LADDER_AT_HAND - 1)].child[number & 63]


cdef inline uint32_t page_find(const pages_t* pages, const ladder_t* ladder, int64_t number) noexcept nogil:
    """The page of that number, idle or not; 0: none."""
    cdef uint32_t index = page_at_hand(ladder, number)
    return index if index else page_look(pages, ladder, number)


cdef inline apart_uint32 page_bring(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t number
) noexcept nogil:
    """As page_find, with its leaf at hand from now on and the page made where there is none; 0: no more memory, or a
    number that a ladder cannot have, which its user has to refuse before."""
    cdef int64_t key = number + LADDER_KEY_ZERO
    cdef int64_t hand = hand_of(number)
    cdef uint32_t leaf = leaf_find(pages, ladder, key)
    cdef uint32_t index = pages.nodes[leaf].child[key & 63]
    cdef page_t* page
    cdef int looks = 0
    ladder_assert(<uint64_t>key < 2 * <uint64_t>LADDER_KEY_ZERO)
    if ladder_unlikely(<uint64_t>key >= 2 * <uint64_t>LADDER_KEY_ZERO):
        return 0
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
        page.candidate = 0
        page.number = number
        page.ladder = ladder
        page.owner = owner
        page.leaf = leaf
        pages.nodes[leaf].child[key & 63] = index
        pages.nodes[leaf].children += 1
        pages.idle += 1
        candidate_join(pages, page, index)
    ladder.hand_key[hand & (LADDER_AT_HAND - 1)] = hand
    ladder.hand[hand & (LADDER_AT_HAND - 1)] = &pages.nodes[leaf]
    return index


# ---- Blocks

cdef inline inlined_uint32 block_take(pages_t* pages, uint32_t index, int64_t rank) noexcept nogil:
    """A block for the levels of a page around a rank."""
    cdef page_t* page = &pages.headers[index]
    cdef uint32_t number = pages.block_pool.free_head
    cdef block_t* block = &pages.blocks[number]
    if ladder_likely(number != 0):
        pool_pop(&pages.block_pool, number, block)
    else:
        number = pool_take(&pages.block_pool)
        block = &pages.blocks[number]
    block.used = 0
    block.page = index
    block.first = rank & ~<int64_t>63
    block.ladder = page.ladder
    block.owner = page.owner
    pages.idle -= page.used == 0
    page.used += 1
    page.woken = 1
    page.blocks[(rank >> 6) & 7] = number
    return number


cdef inline inlined_int block_give(pages_t* pages, uint32_t number) noexcept nogil:
    """A block whose levels are all empty; its page may sleep."""
    cdef block_t* block = &pages.blocks[number]
    cdef page_t* page = &pages.headers[block.page]
    page.blocks[(block.first >> 6) & 7] = 0
    page.used -= 1
    pages.idle += page.used == 0
    if ladder_unlikely((page.used | page.candidate) == 0):
        candidate_join(pages, page, block.page)
    pool_push(&pages.block_pool, number, block)
    return 0


# ---- All of it

cdef inline int pages_open(pages_t* pages, uint32_t count, bint huge) noexcept nogil:
    """From zeroed memory, `count` pages, under 2^23. 0, or -1: no memory; pages_close is called all the same."""
    cdef uint32_t blocks = 8 * count
    if (
        pool_open(&pages.pool, sizeof(page_t), count, huge) != 0
        or pool_open(&pages.block_pool, sizeof(block_t), blocks, huge) != 0
        or pool_open(&pages.node_pool, sizeof(node_t), 6 * count + 64, huge) != 0
    ):
        return -1
    pages.headers = <page_t*>pages.pool.base
    pages.blocks = <block_t*>pages.block_pool.base
    pages.nodes = <node_t*>pages.node_pool.base
    pages.levels = <level_t*>map_region(((<size_t>blocks + 1) << 6) * sizeof(level_t), huge)
    pages.idle_limit = count // 4 + 16
    return 0 if pages.levels != NULL else -1


cdef inline void pages_close(pages_t* pages) noexcept nogil:
    if pages.levels != NULL:
        unmap_region(pages.levels, ((<size_t>pages.block_pool.capacity + 1) << 6) * sizeof(level_t))
    pages.levels = NULL
    pool_close(&pages.pool)
    pool_close(&pages.block_pool)
    pool_close(&pages.node_pool)
