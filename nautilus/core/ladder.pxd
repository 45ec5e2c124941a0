"""One side of a market's book: price levels in pages, the best known, every operation of bounded cost.

Threading contract: one thread. Nothing here allocates: what a ladder lies in (pages.pxd) comes from pools.

A price is kept as its `rank`: price for buys, -price for sells, so that the best level of either side has the highest
rank and there is one code path. 512 consecutive ranks are a page, 64 of these a block. A page's header stays; a block, where
the levels themselves lie, is there only while one of them holds orders, and the block given back last is taken first: in a
sparse book the levels in use lie in the nearest cache, however far apart their prices are. A level's number,
`block * 64 + place`, leads an order to its level by one addition, and to the level's block and price by a shift.

    book ── ladder ── 2 leaves kept at hand ──► leaf: 64 pages ──► page: 8 blocks, one bit a level ──► block: 64 levels
                 └── root ── nodes of 64 ────────┘    (as deep as the spread of its prices asks for, 6 at most)

A leaf spans 32,768 ranks and neighbouring leaves are both at hand, so near the touch an operation looks at one entry of
the leaf, the page, the level and the neighbour orders. Further out it goes down at most six nodes for prices of +-2^40.
Nothing is ever moved: there is no window to re-centre, and no stall.

Ranks lie from -2^42 to 2^42 - 1, so prices of +-2^40 and triggers a little further out all have a level. A user refuses
others before they come here, with a reason; a debug build asserts it, and `ladder_level` answers 0. To ask for a rank, or to
fetch it ahead, any 64-bit number will do.

The few best levels (`tops`, worst first) stand in the ladder itself and in no bit; all others are worse than these and each
has its bit. Orders that come and go in the spread, the bulk of a venue's traffic, so touch no bit and search nothing: a new
best level is pushed, the next best is the one below. Where the tops run full the worst two get their bits; where none is
left the best one that has a bit follows.

An unused ladder is two cache lines of zeros: any number of them costs little.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.inlining cimport apart_int, inlined_int, inlined_uint32
from nautilus.core.pages cimport (
    LADDER_EMPTY,
    LADDER_KEY_ZERO,
    LADDER_TOPS,
    bits_clear,
    bits_set,
    block_give,
    block_take,
    ladder_high_bit,
    ladder_likely,
    ladder_t,
    ladder_unlikely,
    page_at_hand,
    page_below,
    page_bring,
    page_find,
    page_last,
    page_t,
    pages_t,
)


cdef inline int64_t level_rank(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.blocks[level >> 6].first + (level & 63)


cdef inline uint32_t level_owner(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.blocks[level >> 6].owner


cdef inline ladder_t* level_ladder(const pages_t* pages, uint32_t level) noexcept nogil:
    return pages.blocks[level >> 6].ladder


cdef inline uint32_t ladder_find(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The level at `rank`, 0 where no block covers it. It may be empty: its head tells."""
    cdef uint32_t index = page_find(pages, ladder, rank >> 9)
    cdef uint32_t block = pages.headers[index].blocks[(rank >> 6) & 7]      # page 0 has none
    return (block << 6) | <uint32_t>(rank & 63) if block else 0


cdef inline uint32_t ladder_at_hand(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """For fetching ahead: the level at a rank where its leaf is at hand, or some other. A wish is never wrong."""
    return pages.headers[page_at_hand(ladder, rank >> 9)].blocks[(rank >> 6) & 7] << 6 | <uint32_t>(rank & 63)


cdef inline inlined_uint32 ladder_level(
    pages_t* pages, ladder_t* ladder, uint32_t owner, int64_t rank
) noexcept nogil:
    """The level at `rank`, made where there is none; 0 where no page is left. The caller adds an order to it, and marks it
    where it is empty."""
    cdef uint32_t index = page_at_hand(ladder, rank >> 9)
    cdef uint32_t block
    if ladder_unlikely(index == 0):
        index = page_bring(pages, ladder, owner, rank >> 9)
        if index == 0:
            return 0
    block = pages.headers[index].blocks[(rank >> 6) & 7]
    if block == 0:
        block = block_take(pages, index, rank)
    return (block << 6) | <uint32_t>(rank & 63)


cdef inline void level_bit_set(pages_t* pages, uint32_t level) noexcept nogil:
    cdef page_t* page = &pages.headers[pages.blocks[level >> 6].page]
    cdef uint32_t at = <uint32_t>(pages.blocks[level >> 6].first >> 6) & 7
    if page.summary == 0:
        bits_set(pages, page.leaf, <uint32_t>(page.number & 63))
    page.summary |= 1 << at
    page.words[at] |= (<uint64_t>1) << (level & 63)


cdef inline void level_bit_clear(pages_t* pages, uint32_t level) noexcept nogil:
    cdef page_t* page = &pages.headers[pages.blocks[level >> 6].page]
    cdef uint32_t at = <uint32_t>(pages.blocks[level >> 6].first >> 6) & 7
    page.words[at] &= ~((<uint64_t>1) << (level & 63))
    if page.words[at] == 0:
        page.summary &= ~(1 << at)
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
    cdef uint32_t tops = ladder.tops
    pages.blocks[level >> 6].used += 1
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


cdef inline uint32_t word_top(const page_t* page, uint64_t summary) noexcept nogil:
    """The highest level with a bit in the highest of some words, which have one."""
    cdef int word = ladder_high_bit(summary)
    return page.blocks[word] << 6 | <uint32_t>ladder_high_bit(page.words[word])


cdef inline uint32_t page_top(const pages_t* pages, uint32_t index) noexcept nogil:
    """The highest level with a bit of a page, which has one."""
    return word_top(&pages.headers[index], pages.headers[index].summary)


cdef inline uint32_t rank_below(const pages_t* pages, uint32_t index, int64_t rank) noexcept nogil:
    """The best level with a bit whose rank is below one of this page; 0: none."""
    cdef const page_t* page = &pages.headers[index]
    cdef uint32_t at = <uint32_t>(rank >> 6) & 7
    cdef uint64_t word = page.words[at] & (((<uint64_t>1) << (rank & 63)) - 1)
    if word:
        return page.blocks[at] << 6 | <uint32_t>ladder_high_bit(word)
    word = page.summary & ((1 << at) - 1)
    if word:
        return word_top(page, word)
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
    """The best level that is worse than this one, which is in use; 0: none."""
    cdef int64_t rank = level_rank(pages, level)
    cdef uint32_t below = tops_below(level_ladder(pages, level), rank)
    return below if below else rank_below(pages, pages.blocks[level >> 6].page, rank)


cdef inline uint32_t ladder_worse(const pages_t* pages, const ladder_t* ladder, int64_t rank) noexcept nogil:
    """The best level in use whose rank is below `rank`, 0: none; no level need be at `rank`."""
    cdef uint32_t level = tops_below(ladder, rank)
    cdef int64_t key = (rank >> 9) + LADDER_KEY_ZERO
    cdef uint32_t height = ladder.height, index, at
    if level:
        return level
    index = page_find(pages, ladder, rank >> 9)
    if index:
        return rank_below(pages, index, rank)
    index = ladder.root
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
    """The level's last order has left: the next best one is found, its block may go."""
    cdef uint32_t tops = ladder.tops
    if ladder_likely(ladder.best_level == level and tops > 1):
        ladder.tops = tops - 1
        ladder.best = ladder.top_rank[tops - 2]
        ladder.best_level = ladder.top_level[tops - 2]
    else:
        ladder_give_other(pages, ladder, level)
    pages.blocks[level >> 6].used -= 1
    if pages.blocks[level >> 6].used == 0:
        block_give(pages, level >> 6)
    return 0


cdef inline void ladder_open(ladder_t* ladder, uint32_t side) noexcept nogil:
    """A ladder from zeroed memory."""
    ladder.best = LADDER_EMPTY
    ladder.side = side
