# Call phases and auctions: what collects, the auction price, the uncrossing, the indicative price, interruptions.
# Part of market.pyx. Rules: docs/kernel-orders.md, Phases and auctions.
#
# Working the price out costs the orders at auction, times the logarithm of the number of their prices; an indicative
# price is worked out ten times a second at most.


cdef inline bint is_call(int phase) noexcept nogil:
    return phase >= PHASE_PRE_OPEN


cdef inline bint is_auction(int phase) noexcept nogil:
    return phase > PHASE_PRE_OPEN


cdef inline bint takes_part(int time_in_force, int phase) noexcept nogil:
    """Whether an AT_OPEN or AT_CLOSE order stands at auction in this phase."""
    if time_in_force == TIF_AT_OPEN:
        return phase == PHASE_PRE_OPEN or phase == PHASE_OPENING_AUCTION
    return phase == PHASE_CLOSING_AUCTION


cdef void auction_touch(market_t* m, uint32_t instrument) noexcept nogil:
    """The book changed: in an auction that has begun, the user is to work the indicative price out in time."""
    cdef auction_t* auction = &m.auctions[instrument]
    if not auction.told or not is_auction(m.books[instrument].phase):
        return
    auction.changed = 1
    if not auction.noticed:
        auction.noticed = 1
        m.notices[m.notice_count] = instrument
        m.notice_count += 1


cdef inline void book_moved(market_t* m, book_t* book) noexcept nogil:
    if book.special & BOOK_PHASE:
        auction_touch(m, book.instrument)


cdef inline void standing_moved(market_t* m, const order_t* order) noexcept nogil:
    """The same for an order that stands anywhere, if that is where auctions look."""
    if order.level:
        if not order.flags & ORDER_WAITING:
            book_moved(m, &m.books[level_owner(&m.pages, order.level)])
    elif order.extra and m.extras[order.extra].standing == STANDING_AUCTION:
        auction_touch(m, m.extras[order.extra].instrument)


# ---- AT_OPEN, AT_CLOSE

cdef void auction_stand(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """An AT_OPEN or AT_CLOSE order, in no list, stands where it belongs in this phase."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef aggressor_t a
    if not takes_part(extra.time_in_force, book.phase):
        order.level = 0
        aside_join(m, slot, extra, STANDING_PARKED)
    elif extra.order_type == TYPE_MARKET:
        aside_join(m, slot, extra, STANDING_AUCTION)
        book_moved(m, book)
    else:
        aggressor_of(m, slot, &a, extra.price, order.leaves)
        special_rest(m, book, &a)


cdef void auction_join(market_t* m, book_t* book, uint32_t slot, extra_t* extra) noexcept nogil:
    line_join(m, slot, extra, &book.auction_first, &book.auction_last)


cdef void auction_leave(market_t* m, book_t* book, extra_t* extra) noexcept nogil:
    line_leave(m, extra, &book.auction_first, &book.auction_last)


# ---- The price

cdef inline bint at_auction(const market_t* m, const order_t* order) noexcept nogil:
    """Whether a displayed or dark order takes part: neither all-or-none nor pegged ones do."""
    if not order.flags & ORDER_DARK:
        return True
    return not order.flags & ORDER_ALL_OR_NONE and (
        order.extra == 0 or m.extras[order.extra].order_type != TYPE_PEGGED
    )


cdef int64_t auction_markets(const market_t* m, const book_t* book, int side) noexcept nogil:
    """Quantity of the MARKET orders at auction."""
    cdef int64_t total = 0
    cdef uint32_t slot = book.auction_first
    cdef const extra_t* extra
    while slot:
        extra = extra_at(m, slot)
        if extra.standing == STANDING_AUCTION and m.orders[slot].side == side:
            total += m.orders[slot].leaves
        slot = extra.line_next
    return total


cdef uint64_t auction_curve(const market_t* m, const book_t* book, int side, curve_t* curve) noexcept nogil:
    """Prices of a side, best first, each with the quantity up to it; their number."""
    cdef uint64_t count = 0
    cdef int64_t total = 0, rank
    cdef uint32_t slot = market_first(m, book.instrument, side)
    cdef const order_t* order
    while slot:
        order = &m.orders[slot]
        if at_auction(m, order):
            rank = level_rank(&m.pages, order.level)
            if count == 0 or curve[count - 1].rank != rank:
                curve[count].rank = rank
                count += 1
            total += order_open(m, order)
            curve[count - 1].total = total
        slot = market_after(m, book.instrument, slot)
    return count


cdef int64_t curve_at(const curve_t* curve, uint64_t count, int64_t rank) noexcept nogil:
    """Quantity of a side that accepts the price of this rank (its own side's)."""
    cdef uint64_t low = 0, high = count, middle
    while low < high:
        middle = (low + high) >> 1
        if curve[middle].rank >= rank:
            low = middle + 1
        else:
            high = middle
    return curve[low - 1].total if low else 0


cdef bint auction_price(market_t* m, const book_t* book, int64_t* price, int64_t* volume, int64_t* surplus) noexcept nogil:
    """The auction price now; False, and zeros, where there is none."""
    cdef curve_t* bids = m.curves
    cdef curve_t* offers = m.curves + m.order_pool.capacity + 2
    cdef int64_t markets_bought = auction_markets(m, book, SIDE_BUY), markets_sold = auction_markets(m, book, SIDE_SELL)
    cdef uint64_t buys = auction_curve(m, book, SIDE_BUY, bids), sells = auction_curve(m, book, SIDE_SELL, offers)
    cdef uint64_t i
    cdef bint known = book.has_mark or book.has_last
    cdef int64_t reference = book.mark if book.has_mark else book.last
    cdef int64_t at, bought, sold, most, less, away, best_less = 0, best_away = 0
    price[0] = volume[0] = surplus[0] = 0
    for i in range(buys + sells + 1):
        if i < buys:
            at = bids[i].rank
        elif i < buys + sells:
            at = -offers[i - buys].rank
        elif known and is_price(&m.ticks[book.instrument], reference) and price_rounded(
            &m.ticks[book.instrument], SIDE_BUY, reference
        ) == reference:
            at = reference
        else:
            break
        bought = markets_bought + curve_at(bids, buys, at)
        sold = markets_sold + curve_at(offers, sells, -at)
        most = bought if bought < sold else sold
        if most == 0 or most < volume[0]:
            continue
        less = bought - sold if bought > sold else sold - bought
        away = (at - reference if at > reference else reference - at) if known else 0
        if most == volume[0] and (
            less > best_less or (less == best_less and (away > best_away or (away == best_away and at >= price[0])))
        ):
            continue
        price[0] = at
        volume[0] = most
        surplus[0] = bought - sold
        best_less = less
        best_away = away
    return volume[0] != 0


# ---- The indicative price

cdef void auction_forget(market_t* m, uint32_t instrument) noexcept nogil:
    """Nothing was told; a notice that still stands is passed over by the user."""
    cdef auction_t* auction = &m.auctions[instrument]
    auction.told = auction.changed = 0
    auction.price = auction.volume = auction.surplus = auction.told_ns = 0


cdef void market_indicate(market_t* m, uint32_t instrument) noexcept nogil:
    cdef auction_t* auction = &m.auctions[instrument]
    cdef int64_t price, volume, surplus
    auction_price(m, &m.books[instrument], &price, &volume, &surplus)
    if not auction.told or price != auction.price or volume != auction.volume or surplus != auction.surplus:
        market_report(
            m, EVENT_INDICATIVE, SIDE_BUY if surplus > 0 else SIDE_SELL if surplus < 0 else 0, 0, 0, instrument, 0, price,
            volume
        )
    auction.told = 1
    auction.changed = 0
    auction.price = price
    auction.volume = volume
    auction.surplus = surplus
    auction.told_ns = m.now_ns
    if m.indicated != NULL:
        m.indicated(m.context, instrument)


# ---- The uncrossing

cdef uint32_t auction_first(const market_t* m, const book_t* book, int side, int64_t rank) noexcept nogil:
    """The first order of a side that meets the price of this rank, 0: none."""
    cdef uint32_t slot = book.auction_first
    while slot:
        if extra_at(m, slot).standing == STANDING_AUCTION and m.orders[slot].side == side:
            return slot
        slot = extra_at(m, slot).line_next
    slot = market_first(m, book.instrument, side)
    while slot and not at_auction(m, &m.orders[slot]):
        slot = market_after(m, book.instrument, slot)
    return slot if slot and level_rank(&m.pages, m.orders[slot].level) >= rank else 0


cdef inline bint stands_yet(const market_t* m, uint32_t slot, uint32_t id) noexcept nogil:
    cdef const order_t* order = &m.orders[slot]
    return order.id == id and (order.level != 0 or (order.extra != 0 and m.extras[order.extra].standing != 0))


cdef bint auction_apart(market_t* m, uint32_t newer, uint32_t older) noexcept nogil:
    """Self-match prevention, then reduce-only; whether anything was taken out."""
    cdef order_t* one = &m.orders[newer]
    cdef order_t* other = &m.orders[older]
    cdef uint32_t slots[2]
    cdef uint32_t id = one.id
    cdef int64_t less, more
    cdef int mode, i
    if one.owner and one.owner == other.owner:
        mode = m.self_match_of(m.context, id) if m.self_match_of != NULL else SELF_MATCH_NONE
        if mode == SELF_MATCH_DECREMENT:
            less = order_open(m, one)
            if order_open(m, other) < less:
                less = order_open(m, other)
            order_lose(m, older, other, less, REASON_SELF_MATCH)
            if stands_yet(m, newer, id):
                more = order_open(m, one)
                order_lose(m, newer, one, less if less < more else more, REASON_SELF_MATCH)
            return True
        if mode == SELF_MATCH_CANCEL_OLDEST or mode == SELF_MATCH_CANCEL_BOTH:
            order_take_out(m, older, other, EVENT_CANCELLED, REASON_SELF_MATCH)
            if mode == SELF_MATCH_CANCEL_BOTH and stands_yet(m, newer, id):
                order_take_out(m, newer, one, EVENT_CANCELLED, REASON_SELF_MATCH)
            return True
        if mode != SELF_MATCH_NONE:
            order_take_out(m, newer, one, EVENT_CANCELLED, REASON_SELF_MATCH)
            return True
    slots[0] = older
    slots[1] = newer
    for i in range(2):
        one = &m.orders[slots[i]]
        if one.flags & ORDER_REDUCE_ONLY and m.reducible != NULL:
            less = order_open(m, one) - m.reducible(m.context, one.id)
            if less > 0:
                order_lose(m, slots[i], one, less, REASON_REDUCE_ONLY)
                return True
    return False


cdef void auction_fill(market_t* m, book_t* book, uint32_t buy, uint32_t sell, bint buy_newer, int64_t price) noexcept nogil:
    cdef uint32_t slots[2]
    cdef order_t* order
    cdef extra_t* extra
    cdef int64_t quantity = order_open(m, &m.orders[buy]), sold = order_open(m, &m.orders[sell])
    cdef bint bought_out, sold_out
    cdef int i
    cdef uint32_t groups[2]
    if sold < quantity:
        quantity = sold
    bought_out = order_open(m, &m.orders[buy]) == quantity
    sold_out = sold == quantity
    market_report(
        m, EVENT_FILLED, SIDE_BUY, 0,
        REPORT_AUCTION | (REPORT_ORDER_DONE if bought_out else 0) | (REPORT_COUNTER_DONE if sold_out else 0),
        m.orders[buy].id, m.orders[sell].id, price, quantity
    )
    book.last = price
    book.has_last = 1
    book.traded += quantity
    slots[0] = buy
    slots[1] = sell
    for i in range(2):
        order = &m.orders[slots[i]]
        extra = &m.extras[order.extra]
        groups[i] = extra.group
        if order.flags & ORDER_PARENT:
            parent_filled(m, extra, quantity)
        if sold_out if i else bought_out:
            if order.level:
                queue_leave(m, order)
            order_end(m, slots[i], order)
        else:
            if order.flags & ORDER_ICEBERG:
                extra.uncrossed = 1
            order_cut(m, slots[i], order, quantity)
    i = 0 if buy_newer else 1
    if groups[i]:
        group_filled(m, groups[i], slots[i], quantity)
    if groups[1 - i] and groups[1 - i] != groups[i]:
        group_filled(m, groups[1 - i], slots[1 - i], quantity)


cdef void icebergs_show(market_t* m, book_t* book, int side) noexcept nogil:
    """Icebergs that the uncrossing filled in part show their part anew at the back of their queue; no event."""
    cdef uint64_t count = 0, i
    cdef uint32_t slot = market_first(m, book.instrument, side), level
    cdef order_t* order
    cdef extra_t* extra
    cdef int64_t rank
    while slot:
        order = &m.orders[slot]
        if order.flags & ORDER_ICEBERG and m.extras[order.extra].uncrossed:
            m.shares[count].slot = slot
            count += 1
        slot = market_after(m, book.instrument, slot)
    for i in range(count):
        slot = m.shares[i].slot
        order = &m.orders[slot]
        extra = &m.extras[order.extra]
        extra.uncrossed = 0
        rank = level_rank(&m.pages, order.level)
        queue_leave(m, order)
        order.leaves += extra.reserve
        extra.reserve = 0
        if extra.display < order.leaves:
            extra.reserve = order.leaves - extra.display
            order.leaves = extra.display
        level = ladder_take(&m.pages, &book.ladders[side - 1], book.instrument, rank)
        queue_join(m, slot, order, level)       # the page it has just left is idle at worst: there is room


cdef void auction_uncross(market_t* m, book_t* book) noexcept nogil:
    """Until there is no auction price: what self-match prevention and groups take out may leave another."""
    cdef int64_t price, volume, surplus
    cdef uint32_t buy, sell
    cdef bint buy_newer
    while auction_price(m, book, &price, &volume, &surplus):
        while True:
            buy = auction_first(m, book, SIDE_BUY, price)
            sell = auction_first(m, book, SIDE_SELL, -price)
            if buy == 0 or sell == 0:
                break
            buy_newer = m.arming_of == NULL or m.arming_of(m.context, m.orders[buy].id) > m.arming_of(
                m.context, m.orders[sell].id
            )
            if not auction_apart(m, buy if buy_newer else sell, sell if buy_newer else buy):
                auction_fill(m, book, buy, sell, buy_newer, price)
    icebergs_show(m, book, SIDE_BUY)
    icebergs_show(m, book, SIDE_SELL)


# ---- From phase to phase

cdef void pegs_park(market_t* m, book_t* book) noexcept nogil:
    """In settling they enter at the prices of the uncrossed book."""
    cdef uint32_t slot = book.pegs
    cdef extra_t* extra
    while slot:
        extra = extra_at(m, slot)
        if m.orders[slot].level:
            peg_lift(m, &m.orders[slot], extra)
            aside_join(m, slot, extra, STANDING_PARKED)
        slot = extra.line_next


cdef void market_session(market_t* m, uint32_t instrument, int phase) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    cdef int old = book.phase
    cdef uint32_t slot, following
    cdef extra_t* extra
    if old == phase:
        return
    m.replenished = 0
    if phase == PHASE_CONTINUOUS or (is_call(old) and phase == PHASE_CLOSED) or (is_auction(old) and is_call(phase)):
        if is_call(old):
            market_indicate(m, instrument)
        auction_forget(m, instrument)
        auction_uncross(m, book)
    auction_forget(m, instrument)
    slot = book.auction_first
    while slot:
        extra = extra_at(m, slot)
        following = extra.line_next
        if takes_part(extra.time_in_force, old) and not takes_part(extra.time_in_force, phase):
            order_take_out(m, slot, &m.orders[slot], EVENT_CANCELLED, REASON_UNFILLED)
            # Its group may have taken the next one with it.
            following = book.auction_first
        slot = following
    if phase == PHASE_CONTINUOUS:
        pegs_park(m, book)
    market_phase(m, instrument, phase)
    slot = book.auction_first
    while slot:
        extra = extra_at(m, slot)
        if takes_part(extra.time_in_force, phase) and not takes_part(extra.time_in_force, old) and not extra.unentered:
            if extra.standing:
                aside_leave(m, extra)
            auction_stand(m, book, slot)
        slot = extra.line_next
    if is_auction(phase):
        market_indicate(m, instrument)


# ---- Volatility

cdef void band_set(const market_t* m, const book_t* book, aggressor_t* a) noexcept nogil:
    """Prices between which the aggressor may match."""
    cdef const auction_t* auction = &m.auctions[book.instrument]
    cdef int64_t distance
    a.banded = auction.band_bps > 0 and book.has_last and (m.exempt == NULL or not m.exempt(m.context, a.id))
    if a.banded:
        distance = market_share(-book.last if book.last < 0 else book.last, auction.band_bps, 10000)
        a.band_low = book.last - distance
        a.band_high = book.last + distance


cdef inline bint beyond_band(const aggressor_t* a, int64_t price) noexcept nogil:
    return a.banded and not a.band_low <= price <= a.band_high


cdef void interrupt(market_t* m, book_t* book, int64_t price) noexcept nogil:
    """Trading stops: the user arms the timer that ends it."""
    market_phase(m, book.instrument, PHASE_VOLATILITY_AUCTION)
    market_report(m, EVENT_PHASE, 0, 0, 0, book.instrument, 0, price, PHASE_VOLATILITY_AUCTION)
    if m.interrupted != NULL:
        m.interrupted(m.context, book.instrument)


cdef void market_allocation(market_t* m, uint32_t instrument, int64_t lot_step, bint pro_rata) noexcept nogil:
    m.books[instrument].lot_step = lot_step
    if pro_rata:
        m.books[instrument].special |= BOOK_PRO_RATA


cdef void market_volatility(market_t* m, uint32_t instrument, int64_t bps) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    m.auctions[instrument].band_bps = bps
    market_touched(m, instrument)
    if bps > 0:
        book.special |= BOOK_BAND
    else:
        book.special &= ~BOOK_BAND
