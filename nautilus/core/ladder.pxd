"""One side of a market's book: price levels in pages, the best known, every operation of bounded cost.

Threading contract: one thread. Nothing here allocates: pages and nodes come from pools.

A price is kept as its `rank`: price for buys, -price for sells, so that the best level of either side has the highest
rank and there is one code path. 512 consecutive ranks are a page. All levels lie in one array; a level's number,
`page * 512 + slot`, leads an order to its level by one addition, and the level's page and price by two shifts.

    book ── ladder ── near[8] ──► page header: number, summary, 8 words of one bit a level ──► 512 levels of 16 bytes
                 └── trie of 64-way nodes over the pages that hold orders (as deep as their spread asks for, 6 at most)

Near the touch an operation finds its page by `near`, a direct-mapped cache, and looks at the header, the level and the
neighbour orders. Further out it goes down the trie: at most six nodes for prices of +-2^40, nothing is moved, so there is
no window to re-centre and no stall. A page that empties stays in `near` as idle, out of the trie, and is used again at
once where the touch comes back; idle pages form one queue over all ladders and are given back from its old end, when
their number passes a limit or the pool is empty. A ladder itself is one cache line: any number of them costs little.
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
        uintptr_t mask = (uintptr_t)0 - (uintptr_t)(which != 0);
        return (uint32_t *)(((uintptr_t)some & mask) | ((uintptr_t)none & ~mask));
    }
    #endif
    """
    bint ladder_likely(bint condition) noexcept nogil
    bint ladder_unlikely(bint condition) noexcept nogil
    int ladder_high_bit(uint64_t word) noexcept nogil
    uint32_t* ladder_choose(uint32_t which, uint32_t* some, uint32_t* none) noexcept nogil

cdef enum:
    LADDER_NEAR = 8
    LADDER_DEPTH = 6            # 64^6 pages of 512 ranks and more than 2^41 ranks

cdef enum:
    PAGE_FREE = 0               # in the pool
    PAGE_USED = 1               # in the trie
    PAGE_IDLE = 2               # empty, kept by `near` of its ladder

ctypedef struct level_t:
    int64_t quantity            # of all its orders
    uint32_t head               # first in time, 0: the level is empty
    uint32_t tail

ctypedef struct page_t:
    uint64_t summary            # bit per word; the pool keeps its link here
    int64_t number              # rank >> 9
    uint64_t words[8]           # bit per level
    ladder_t* ladder
    uint32_t owner              # what the user of the ladder says: the number of the book
    uint32_t idle_next          # towards the newest
    uint32_t idle_prev
    uint32_t state
    uint64_t pad

ctypedef struct node_t:
    uint64_t bits               # the pool keeps its link here
    uint32_t child[64]

ctypedef struct ladder_t:
    int64_t best                # rank of the best level, LADDER_EMPTY: none
    uint32_t best_level
    uint32_t root               # node, 0: no page in use
    int64_t prefix              # what all keys below the root share
    uint32_t height             # nodes on the way down
    uint32_t side               # 1 buy, 2 sell
    uint32_t near[LADDER_NEAR]

# What the ladders of one market share.
ctypedef struct pages_t:
    page_t* headers
    level_t* levels             # (pool.capacity + 1) * 512
    pool_t pool                 # of headers
    pool_t nodes
    uint32_t idle_oldest
    uint32_t idle_newest
    uint32_t idle
    uint32_t idle_limit


cdef extern from *:
    """
    #define LADDER_EMPTY INT64_MIN
    #define LADDER_NO_PAGE INT64_MIN
    #define LADDER_KEY_ZERO ((int64_t)1 << 33)
    """
    const int64_t LADDER_EMPTY
    const int64_t LADDER_NO_PAGE
    const int64_t LADDER_KEY_ZERO   # makes keys of page numbers: not negative, in their order


cdef inline node_t* node_at(const pages_t* pages, uint32_t index) noexcept nogil:
    return &(<node_t*>pages.nodes.base)[index]


# ---- The trie: pages in use by key. Rare: a page comes into use or falls out of it, or is not in `near`.

cdef inline uint32_t trie_find(const pages_t* pages, const ladder_t* ladder, int64_t key) noexcept nogil:
    cdef uint32_t index = ladder.root
    cdef int shift = 6 * <int>ladder.height
    cdef node_t* node
    cdef int at
    if index == 0 or key >> shift != ladder.prefix:
        return 0
    while shift:
        shift -= 6
        node = node_at(pages, index)
        at = <int>((key >> shift) & 63)
        if not (node.bits >> at) & 1:
            return 0
        index = node.child[at]
    return index


cdef inline uint32_t trie_last(const pages_t* pages, const ladder_t* ladder) noexcept nogil:
    """The page of the highest number, 0: none."""
    cdef uint32_t index = ladder.root
    cdef uint32_t height = ladder.height
    cdef node_t* node
    if index == 0:
        return 0
    while height:
        node = node_at(pages, index)
        index = node.child[ladder_high_bit(node.bits)]
        height -= 1
    return index


cdef inline uint32_t trie_below(const pages_t* pages, const ladder_t* ladder, int64_t key) noexcept nogil:
    """The page of the highest number below `key`, 0: none."""
    cdef uint32_t index = ladder.root
    cdef uint32_t turn = 0          # child where the search may leave the key's own way, 0: none yet
    cdef int shift = 6 * <int>ladder.height
    cdef int turn_shift = 0
    cdef node_t* node
    cdef uint64_t lower
    cdef int at
    if index == 0 or key >> shift < ladder.prefix:
        return 0
    if key >> shift > ladder.prefix:
        return trie_last(pages, ladder)
    while shift:
        shift -= 6
        node = node_at(pages, index)
        at = <int>((key >> shift) & 63)
        lower = node.bits & (((<uint64_t>1) << at) - 1)
        if lower:
            turn = node.child[ladder_high_bit(lower)]
            turn_shift = shift
        if not (node.bits >> at) & 1:
            break
        index = node.child[at]
    while turn and turn_shift:
        node = node_at(pages, turn)
        turn = node.child[ladder_high_bit(node.bits)]
        turn_shift -= 6
    return turn


cdef inline uint32_t node_new(pages_t* pages) noexcept nogil:
    cdef uint32_t index = pool_take(&pages.nodes)
    node_at(pages, index).bits = 0
    return index


cdef inline bint trie_room(const pages_t* pages) noexcept nogil:
    """Whether one insertion, whatever its key, finds its nodes."""
    return pages.nodes.capacity - pages.nodes.used >= 2 * LADDER_DEPTH


cdef inline void trie_insert(pages_t* pages, ladder_t* ladder, int64_t key, uint32_t page) noexcept nogil:
    cdef uint32_t index, at
    cdef node_t* node
    cdef int shift
    if ladder.root == 0:
        ladder.root = node_new(pages)
        ladder.height = 1
        ladder.prefix = key >> 6
    while key >> (6 * <int>ladder.height) != ladder.prefix:
        index = node_new(pages)
        at = <uint32_t>(ladder.prefix & 63)
        node = node_at(pages, index)
        node.bits = (<uint64_t>1) << at
        node.child[at] = ladder.root
        ladder.root = index
        ladder.prefix >>= 6
        ladder.height += 1
    shift = 6 * <int>ladder.height
    index = ladder.root
    while True:
        shift -= 6
        node = node_at(pages, index)
        at = <uint32_t>((key >> shift) & 63)
        if shift == 0:
            node.bits |= (<uint64_t>1) << at
            node.child[at] = page
            return
        if not (node.bits >> at) & 1:
            node.child[at] = node_new(pages)
            node.bits |= (<uint64_t>1) << at
        index = node.child[at]


cdef inline void trie_remove(pages_t* pages, ladder_t* ladder, int64_t key) noexcept nogil:
    cdef uint32_t path[LADDER_DEPTH + 1]
    cdef int height = <int>ladder.height
    cdef int depth = 0
    cdef node_t* node
    cdef uint32_t index = ladder.root
    while depth < height:
        path[depth] = index
        index = node_at(pages, index).child[(key >> (6 * (height - 1 - depth))) & 63]
        depth += 1
    while depth:
        depth -= 1
        node = node_at(pages, path[depth])
        node.bits &= ~((<uint64_t>1) << ((key >> (6 * (height - 1 - depth))) & 63))
        if node.bits:
            break
        pool_give(&pages.nodes, path[depth])
        if depth == 0:
            ladder.root = 0
            ladder.height = 0
            return
    while ladder.height > 1:        # a root with one child is none
        node = node_at(pages, ladder.root)
        if node.bits & (node.bits - 1):
            return
        index = <uint32_t>ladder_high_bit(node.bits)
        pool_give(&pages.nodes, ladder.root)
        ladder.prefix = (ladder.prefix << 6) | index
        ladder.root = node.child[index]
        ladder.height -= 1


# ---- Pages

cdef inline void idle_leave(pages_t* pages, page_t* page) noexcept nogil:
    if page.idle_prev:
        pages.headers[page.idle_prev].idle_next = page.idle_next
    else:
        pages.idle_oldest = page.idle_next
    if page.idle_next:
        pages.headers[page.idle_next].idle_prev = page.idle_prev
    else:
        pages.idle_newest = page.idle_prev
    pages.idle -= 1


cdef inline void page_free(pages_t* pages, uint32_t index) noexcept nogil:
    """An empty page that is in no list goes back to the pool."""
    cdef page_t* page = &pages.headers[index]
    page.number = LADDER_NO_PAGE
    page.state = PAGE_FREE
    pool_give(&pages.pool, index)


cdef inline void idle_reclaim(pages_t* pages) noexcept nogil:
    """The page that has been idle longest goes back to the pool."""
    cdef uint32_t index = pages.idle_oldest
    cdef page_t* page = &pages.headers[index]
    idle_leave(pages, page)
    page.ladder.near[page.number & (LADDER_NEAR - 1)] = 0
    page_free(pages, index)


cdef inline void near_put(pages_t* pages, ladder_t* ladder, uint32_t index) noexcept nogil:
    cdef page_t* page = &pages.headers[index]
    cdef uint32_t at = <uint32_t>(page.number & (LADDER_NEAR - 1))
    cdef uint32_t old = ladder.near[at]
    if old and old != index and pages.headers[old].state == PAGE_IDLE:
        idle_leave(pages, &pages.headers[old])
        page_free(pages, old)
    ladder.near[at] = index


cdef inline uint32_t page_bring(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t number
) noexcept nogil:
    """The page of that number, in use from now on; 0 where no page or node is left."""
    cdef int64_t key = number + LADDER_KEY_ZERO
    cdef uint32_t index = ladder.near[number & (LADDER_NEAR - 1)]
    cdef page_t* page = &pages.headers[index]
    if page.number != number:
        index = trie_find(pages, ladder, key)
        if index:
            near_put(pages, ladder, index)
            return index
        if not trie_room(pages):
            return 0
        if pages.pool.used == pages.pool.capacity and pages.idle:
            idle_reclaim(pages)
        index = pool_take(&pages.pool)
        if index == 0:
            return 0
        page = &pages.headers[index]
        page.number = number
        page.ladder = ladder
        page.owner = owner
        near_put(pages, ladder, index)
    elif page.state == PAGE_IDLE:
        if not trie_room(pages):
            return 0
        idle_leave(pages, page)
    else:
        return index
    page.summary = 0
    page.state = PAGE_USED
    trie_insert(pages, ladder, key, index)
    return index


cdef inline void page_emptied(pages_t* pages, ladder_t* ladder, uint32_t index) noexcept nogil:
    """The page's last level is empty: out of the trie, and idle where `near` still leads to it."""
    cdef page_t* page = &pages.headers[index]
    trie_remove(pages, ladder, page.number + LADDER_KEY_ZERO)
    if ladder.near[page.number & (LADDER_NEAR - 1)] != index:
        page_free(pages, index)
        return
    page.state = PAGE_IDLE
    page.idle_next = 0
    page.idle_prev = pages.idle_newest
    if pages.idle_newest:
        pages.headers[pages.idle_newest].idle_next = index
    else:
        pages.idle_oldest = index
    pages.idle_newest = index
    pages.idle += 1
    if pages.idle > pages.idle_limit:
        idle_reclaim(pages)


# ---- Levels

cdef inline int64_t level_rank(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.headers[level >> 9].number * 512 + (level & 511)


cdef inline uint32_t ladder_find(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The level at `rank`, 0 where no page in use covers it. It may be empty: its head tells."""
    cdef int64_t number = rank >> 9
    cdef uint32_t index = ladder.near[number & (LADDER_NEAR - 1)]
    if pages.headers[index].number != number or pages.headers[index].state != PAGE_USED:
        index = trie_find(pages, ladder, number + LADDER_KEY_ZERO)
        if index == 0:
            return 0
    return (index << 9) | <uint32_t>(rank & 511)


cdef inline uint32_t ladder_take(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t rank
) noexcept nogil:
    """The level at `rank`, marked as in use; the caller adds an order to it. 0 where no page is left."""
    cdef int64_t number = rank >> 9
    cdef uint32_t slot = <uint32_t>(rank & 511)
    cdef uint32_t index = ladder.near[number & (LADDER_NEAR - 1)]
    cdef page_t* page = &pages.headers[index]
    cdef uint32_t level
    cdef bint better
    if ladder_unlikely(page.number != number or page.state != PAGE_USED):
        index = page_bring(pages, ladder, owner, number)
        if index == 0:
            return 0
        page = &pages.headers[index]
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


cdef inline uint32_t ladder_below(const pages_t* pages, const ladder_t* ladder, uint32_t level) noexcept nogil:
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
    index = trie_below(pages, ladder, page.number + LADDER_KEY_ZERO)
    return page_top(pages, index) if index else 0


cdef inline uint32_t ladder_worse(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best level in use whose rank is below `rank`, 0: none; no level need be at `rank`."""
    cdef uint32_t level = ladder_find(pages, ladder, rank)
    cdef uint32_t index
    if level:
        return ladder_below(pages, ladder, level)
    index = trie_below(pages, ladder, (rank >> 9) + LADDER_KEY_ZERO)
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
        after = ladder_below(pages, ladder, level)
        ladder.best_level = after
        ladder.best = level_rank(pages, after) if after else LADDER_EMPTY
    if ladder_unlikely(page.summary == 0):
        page_emptied(pages, ladder, level >> 9)


cdef inline void ladder_open(ladder_t* ladder, uint32_t side) noexcept nogil:
    """A ladder from zeroed memory."""
    ladder.best = LADDER_EMPTY
    ladder.side = side
