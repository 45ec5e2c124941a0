"""Any process and thread may use every operation. How the table of routes decides, and how it learns.

A decision looks at the two routes of a group. On each it picks one instance: of those that are available, in the own
region where enough of them are, by turn, by fewest requests in flight, or the better of two random ones by peak EWMA x
(in flight + 1). Then it picks the route, by expected latency and what failures cost.

The expected latency follows a change within two requests and yet keeps its head at a single outlier: it is an average
with a gain of 1/16 (more where samples are few or old), and where two samples running lie far off on the same side
(further than four times the mean deviation and half of the average), it starts anew from those two. The route that is
not taken is tried with one request out of 24 to 44, chosen at random among those that may be repeated. Such a sample
stands for many requests, so it has a gain of 1/4; where it is better than what is expected of the route that is taken,
the next request follows at once, and where that is better too, the average starts anew from those two.

The share of failures is of the last 128 outcomes or so, older ones counting less; a trial counts for eight.

Quantiles come from a histogram with four buckets to a power of two, whose counts are halved with each half-life.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.region cimport process_start
from nautilus.core.ring cimport cpu_relax
from nautilus.core.route_table cimport *

cdef extern from *:
    """
    #ifndef NAUTILUS_ROUTE_CHOICE_H
    #define NAUTILUS_ROUTE_CHOICE_H
    #define ROUTE_LONGEST_NS (INT64_C(1) << 40)     /* of a latency: 18 minutes */
    #define ROUTE_FAILURE_NS INT64_C(100000000)     /* what a failure costs beside its latency */
    #define ROUTE_RAMP_NS INT64_C(10000000000)
    #define ROUTE_PACKED_NS ((INT64_C(1) << 36) - 1)
    #endif
    """
    const int64_t ROUTE_LONGEST_NS
    const int64_t ROUTE_FAILURE_NS
    const int64_t ROUTE_RAMP_NS
    const int64_t ROUTE_PACKED_NS

cdef enum:
    WEIGHT = 256                    # of a sample in the histogram: counts decay in integers
    GAIN = 16                       # one part of so many is what a sample changes, where there are many
    TRIAL_GAIN = 4
    TRIAL_WEIGHT = 8                # what the outcome of a trial counts for
    OUTCOMES = 128                  # last ones that the share of failures is of, about
    KNOWN = 3                       # samples before a route is compared
    FORGOTTEN = 32                  # half-lives after which it is not known any more
    TRIAL_LEAST = 24                # requests between two trials
    TRIAL_SPREAD = 21
    TRIAL_UNKNOWN = 4               # while the other route is not known
    FAILURE_COST = 8
    QUANTILES_EVERY = 16            # samples
    PANIC_PERCENT = 50              # of instances available, below which all are taken
    RAMP = 8                        # an instance that comes back costs so many times as much at first
    SPINS = 256
    SAMPLES_MOST = 1 << 30
    WEIGHT_MOST = 0x7FFF0000


cdef struct route_view_t:
    # A table as one user sees it.
    route_table_t* table
    route_instance_t* instances
    route_group_t* groups
    route_target_t* targets
    uint32_t holder                 # number of this process's cell
    uint32_t region_hash            # of the own region; 0: none
    uint64_t chance


cdef struct pick_t:
    uint32_t target                 # ROUTE_NONE: none
    uint32_t how
    bint panic                      # too many are out: all were taken
    bint spill                      # not of the own region


cdef inline uint32_t route_bucket_of(int64_t latency_ns) noexcept nogil:
    cdef uint64_t value = <uint64_t>latency_ns >> 8
    cdef int top
    if value < 4:
        return <uint32_t>value
    top = route_top_bit(value)
    return <uint32_t>((top - 1) * 4 + ((value >> (top - 2)) & 3))


cdef inline int64_t route_bucket_low(uint32_t bucket) noexcept nogil:
    if bucket < 4:
        return <int64_t>bucket << 8
    return <int64_t>(4 + (bucket & 3)) << (bucket // 4 - 1 + 8)


cdef inline int64_t route_halved(int64_t value, int64_t elapsed_ns, int64_t half_life_ns) noexcept nogil:
    """value x 2^-(elapsed / half-life), the power between whole ones taken as a straight line."""
    cdef int64_t whole, rest
    if elapsed_ns <= 0:
        return value
    whole = elapsed_ns // half_life_ns
    if whole >= 40:
        return 0
    rest = ((elapsed_ns - whole * half_life_ns) << 10) // half_life_ns
    return (value >> whole) * (2048 - rest) >> 11


cdef inline int64_t route_within(uint32_t bucket, uint64_t wanted, uint64_t before, uint64_t held) noexcept nogil:
    # Between the bounds of its bucket as far as its rank lies between those of the bucket.
    cdef int64_t low = route_bucket_low(bucket)
    return low + (route_bucket_low(bucket + 1) - low) * <int64_t>(wanted - before) // <int64_t>held


cdef inline int64_t route_quantile(const route_target_t* target, uint32_t thousandth) noexcept nogil:
    cdef uint64_t wanted = <uint64_t>target.weight * thousandth // 1000, before = 0, held
    cdef uint32_t i
    for i in range(<uint32_t>ROUTE_BUCKETS):
        held = target.buckets[i]
        if held and before + held >= wanted:
            return route_within(i, wanted, before, held)
        before += held
    return 0


cdef inline void route_tally(route_tally_t* tally, int64_t latency_ns, bint ok) noexcept nogil:
    latency_ns = max(<int64_t>0, min(latency_ns, ROUTE_LONGEST_NS - 1))
    route_count(&tally.requests, 1)
    route_count(&tally.succeeded, ok)
    route_count(&tally.sum_ns, <uint64_t>latency_ns)
    route_count(&tally.buckets[route_bucket_of(latency_ns)], 1)


cdef inline uint32_t route_faded(uint32_t count, uint32_t whole, uint32_t rest) noexcept nogil:
    if whole == 31:
        return 0
    count >>= whole
    while rest and count:
        count -= <uint32_t>((<uint64_t>count * 41 + 255) >> 8)
        rest -= 1
    return count


cdef inline void route_decay(route_target_t* target, int64_t now_ns, int64_t half_life_ns) noexcept nogil:
    # In quarters of a half-life; 41/256 is 1 - 2^(-1/4). Rounded up, so that what is old goes to nothing.
    cdef int64_t step_ns = half_life_ns >> 2, steps
    cdef uint32_t i, whole, rest, count, sum = 0
    if target.epoch_ns == 0 or now_ns < target.epoch_ns - half_life_ns:     # the first, or the clock was set back
        target.epoch_ns = now_ns
        return
    steps = (now_ns - target.epoch_ns) // step_ns
    if steps <= 0:
        return
    target.epoch_ns += steps * step_ns
    whole = <uint32_t>min(steps >> 2, <int64_t>31)
    rest = <uint32_t>(steps & 3)
    for i in range(<uint32_t>ROUTE_BUCKETS):
        count = route_faded(target.buckets[i], whole, rest)
        target.buckets[i] = count
        sum += count
    target.weight = sum
    target.ok_weight = route_faded(target.ok_weight, whole, rest)
    target.failed_weight = route_faded(target.failed_weight, whole, rest)


cdef inline uint64_t route_draw(route_view_t* r) noexcept nogil:
    # xorshift64*: G. Marsaglia, S. Vigna
    cdef uint64_t x = r.chance
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    r.chance = x
    return (x * 0x2545F4914F6CDD1DULL) >> 33


cdef inline bint route_known(route_view_t* r, const route_target_t* target, int64_t now_ns) noexcept nogil:
    return (
        route_get_word(&target.samples) >= KNOWN
        and now_ns - route_get(&target.last_ns) < FORGOTTEN * r.table.half_life_ns
    )


cdef inline bint route_dead(route_view_t* r, int32_t number) noexcept nogil:
    cdef route_holder_t* holder = r.table.holder + number
    cdef int32_t pid = route_locked_by(&holder.pid)
    return pid == 0 or process_start(pid) != holder.start


cdef inline bint route_lock_target(route_view_t* r, route_target_t* target) noexcept nogil:
    cdef int32_t own = <int32_t>r.holder + 1, holder
    cdef uint32_t spins
    for spins in range(SPINS):
        if route_swap(&target.lock, 0, own):
            return True
        cpu_relax()
    holder = route_locked_by(&target.lock)
    # Of a process that was killed in there.
    if holder == 0 or (0 < holder <= ROUTE_HOLDERS and not route_dead(r, holder - 1)):
        return False
    return route_swap(&target.lock, holder, own)


cdef inline int64_t route_burdened(
    route_view_t* r, const route_target_t* target, int64_t ns, int64_t now_ns
) noexcept nogil:
    """A latency and what the failures of the target add to it; they are forgotten with time, also without requests."""
    cdef int64_t share = route_get_word(&target.failure_share)
    if share:
        share = route_halved(share, now_ns - route_get(&target.last_ns), r.table.half_life_ns)
        ns += ((ns >> 10) * FAILURE_COST + (ROUTE_FAILURE_NS >> 10)) * share
    return ns


cdef inline int64_t route_cost(route_view_t* r, route_target_t* target, int64_t now_ns) noexcept nogil:
    """Peak EWMA x (in flight + 1), more for failures, for a degraded instance and for one that has just come back.

    One without samples costs nothing while it has nothing to do, and very much while its first request is out.
    """
    cdef route_instance_t* instance = r.instances + target.instance
    cdef int64_t flying = route_in_flight(target.in_flight, r.table.holders), cost, since_ns
    if route_get_word(&target.samples) == 0:
        return flying << 38
    cost = route_halved(route_get(&target.peak_ns), now_ns - route_get(&target.peak_at_ns), r.table.half_life_ns)
    cost = route_burdened(r, target, min(cost + 1, ROUTE_LONGEST_NS), now_ns) * (min(flying, <int64_t>4095) + 1)
    if route_get_word(&instance.health) == HEALTH_DEGRADED:
        cost *= 2
    since_ns = route_get(&instance.since_ns)
    if since_ns:
        since_ns = now_ns - since_ns
        if 0 <= since_ns < ROUTE_RAMP_NS:
            cost += cost * ((RAMP - 1) * (ROUTE_RAMP_NS - since_ns) // (ROUTE_RAMP_NS >> 3)) >> 3
    return cost


cdef inline pick_t route_pick(
    route_view_t* r, route_group_t* g, uint32_t route, int64_t now_ns, uint32_t flags
) noexcept nogil:
    cdef uint32_t count = route_seen(&g.counts[route]), i, own = 0, own_sound = 0, sound = 0, state, at, other
    cdef uint32_t[ROUTE_MEMBERS] of
    cdef route_instance_t* instance
    cdef pick_t found
    cdef int64_t least, cost
    found.how, found.panic, found.spill = PICK_ONE, False, False
    if count == 0:
        found.target = ROUTE_NONE
        return found
    if count == 1:
        found.target = g.members[route][0]
        instance = r.instances + r.targets[found.target].instance
        found.panic = route_get_word(&instance.health) >= HEALTH_UNHEALTHY
        found.spill = r.region_hash != 0 and route_get_word(&instance.region_hash) != r.region_hash
        return found
    for i in range(count):
        instance = r.instances + r.targets[g.members[route][i]].instance
        state = route_get_word(&instance.health)
        if r.region_hash and route_get_word(&instance.region_hash) == r.region_hash:
            own += 1
            own_sound += state < HEALTH_UNHEALTHY
        sound += state < HEALTH_UNHEALTHY
    found.panic = sound * 100 < count * PANIC_PERCENT
    found.spill = r.region_hash != 0 and (found.panic or own_sound == 0 or own_sound * 100 < own * PANIC_PERCENT)
    sound = 0
    for i in range(count):
        instance = r.instances + r.targets[g.members[route][i]].instance
        if not found.panic:
            if route_get_word(&instance.health) >= HEALTH_UNHEALTHY:
                continue
            if r.region_hash and not found.spill and route_get_word(&instance.region_hash) != r.region_hash:
                continue
        of[sound] = g.members[route][i]
        sound += 1
    if sound == 0:                  # it changed under us
        for i in range(count):
            of[i] = g.members[route][i]
        sound = count
        found.panic = True
    if sound == 1:
        found.target = of[0]
        return found
    if flags & FLAG_ROUND_ROBIN:
        found.how = PICK_TURN
        found.target = of[route_turn(&g.turn) % sound]
    elif flags & FLAG_LEAST:
        found.how = PICK_LEAST
        at = <uint32_t>(route_draw(r) % sound)    # among equals, anyone
        found.target = of[at]
        least = route_in_flight(r.targets[of[at]].in_flight, r.table.holders)
        for i in range(1, sound):
            other = of[(at + i) % sound]
            cost = route_in_flight(r.targets[other].in_flight, r.table.holders)
            if cost < least:
                least, found.target = cost, other
    else:
        found.how = PICK_PEAK
        at = <uint32_t>(route_draw(r) % sound)
        i = <uint32_t>(route_draw(r) % (sound - 1))
        i += i >= at
        other = of[i]
        found.target = of[at]
        if route_cost(r, r.targets + other, now_ns) < route_cost(r, r.targets + found.target, now_ns):
            found.target = other
    return found


cdef inline uint32_t route_compare(
    route_view_t* r,
    route_group_t* g,
    route_target_t* direct,
    route_target_t* gateway,
    int64_t now_ns,
    uint32_t flags,
    bint* use_direct,
    uint32_t* confidence,
) noexcept nogil:
    cdef bint knows_direct = route_known(r, direct, now_ns), knows_gateway = route_known(r, gateway, now_ns)
    cdef bint both = knows_direct and knows_gateway, better
    cdef int64_t a, b, costs_a, costs_b, apart
    cdef uint32_t reason
    cdef route_target_t* other
    if both:
        a, b = route_get(&direct.expected_ns), route_get(&gateway.expected_ns)
        costs_a, costs_b = route_burdened(r, direct, a, now_ns), route_burdened(r, gateway, b, now_ns)
        if costs_a == costs_b:
            better, reason = (flags & FLAG_PREFER_DIRECT) != 0, REASON_PREFERENCE
        else:
            better = costs_a < costs_b
            reason = REASON_LATENCY if a != b and (a < b) == better else REASON_FAILURES
        # How far they lie apart, against how far each strays.
        apart = a - b if a > b else b - a
        confidence[0] = 50 + <uint32_t>(
            50 * apart
            // (apart + 1 + (route_get(&direct.deviation_ns) + route_get(&gateway.deviation_ns)) // 8)
        )
    else:
        better = (flags & FLAG_PREFER_DIRECT) != 0
        reason = REASON_PREFERENCE
        confidence[0] = 50
    use_direct[0] = better
    if not flags & FLAG_IDEMPOTENT:
        return reason
    other = gateway if better else direct
    if both and route_get_word(<uint32_t*>&other.trial) and route_swap(&other.trial, 1, 0):
        use_direct[0] = not better
        return REASON_TRIAL
    if route_step(&g.until_trial, -1) <= 0:
        g.until_trial = TRIAL_LEAST + <int32_t>(route_draw(r) % TRIAL_SPREAD) if both else TRIAL_UNKNOWN
        use_direct[0] = not better
        return REASON_TRIAL
    return reason


cdef inline int64_t route_choose(route_view_t* r, uint32_t group, int64_t now_ns, uint32_t flags) noexcept nogil:
    cdef route_group_t* g = r.groups + group
    cdef pick_t direct, gateway, taken
    cdef uint32_t reason = REASON_NONE, confidence
    cdef bint use_direct
    cdef route_target_t* target
    cdef int64_t latency_ns
    direct.target = gateway.target = ROUTE_NONE
    direct.panic = gateway.panic = False
    if not flags & FLAG_GATEWAY:
        direct = route_pick(r, g, 0, now_ns, flags)
    if not flags & FLAG_DIRECT:
        gateway = route_pick(r, g, 1, now_ns, flags)
    if direct.target == ROUTE_NONE and gateway.target == ROUTE_NONE:
        return -1
    confidence = 100
    if flags & FLAG_DIRECT:
        use_direct, reason = True, REASON_DIRECT_ONLY
    elif flags & FLAG_GATEWAY:
        use_direct, reason = False, REASON_GATEWAY_ONLY
    elif direct.target == ROUTE_NONE or gateway.target == ROUTE_NONE:
        use_direct, reason = direct.target != ROUTE_NONE, REASON_ONLY_ROUTE
    elif direct.panic != gateway.panic:
        use_direct, reason = not direct.panic, REASON_ONLY_ROUTE
    else:
        reason = route_compare(
            r, g, r.targets + direct.target, r.targets + gateway.target, now_ns, flags, &use_direct, &confidence
        )
        if reason != REASON_TRIAL:
            latency_ns = (direct.target if use_direct else gateway.target) + 1
            if route_get_word(&g.current) != <uint32_t>latency_ns:
                route_put_word(&g.current, <uint32_t>latency_ns)
    taken = direct if use_direct else gateway
    target = r.targets + taken.target
    if reason == REASON_TRIAL:
        route_swap(&target.tried, 0, 1)
    latency_ns = min(route_get(&target.expected_ns), ROUTE_PACKED_NS)
    confidence = route_get_word(&target.confidence) * confidence // 100
    return (
        <int64_t>taken.target | <int64_t>use_direct << 11 | <int64_t>reason << 12 | <int64_t>taken.how << 16
        | <int64_t>taken.panic << 18 | <int64_t>taken.spill << 19 | <int64_t>confidence << 20 | latency_ns << 27
    )


cdef inline void route_learn(
    route_view_t* r, route_target_t* t, int64_t latency_ns, bint ok, int64_t now_ns
) noexcept nogil:
    cdef int64_t half_life_ns = r.table.half_life_ns, gain, off, far, expected, deviation, share
    cdef uint32_t samples, taken
    cdef int32_t side
    cdef bint tried
    route_count(&t.total, 1)
    if not ok:
        route_count(&t.failed, 1)
    if not route_lock_target(r, t):
        route_turn(&t.contended)
        return
    latency_ns = max(<int64_t>1, min(latency_ns, ROUTE_LONGEST_NS - 1))
    route_decay(t, now_ns, half_life_ns)
    taken = route_get_word(&r.groups[t.group].current)
    tried = route_swap(&t.tried, 1, 0) and taken != 0
    if ok:
        t.ok_weight += WEIGHT * TRIAL_WEIGHT if tried else WEIGHT
        route_put_word(&t.running_failures, 0)
    else:
        t.failed_weight += WEIGHT * TRIAL_WEIGHT if tried else WEIGHT
        route_put_word(&t.running_failures, t.running_failures + 1)
    if t.ok_weight + t.failed_weight > OUTCOMES * WEIGHT:
        t.ok_weight -= t.ok_weight >> 3
        t.failed_weight -= t.failed_weight >> 3
    route_put_word(
        &t.failure_share,
        <uint32_t>((<uint64_t>t.failed_weight << 10) // (<uint64_t>t.failed_weight + t.ok_weight)),
    )
    samples = t.samples
    expected, deviation = t.expected_ns, t.deviation_ns
    route_put(&t.last_ns, now_ns)
    route_put_word(&t.samples, min(samples + 1, <uint32_t>SAMPLES_MOST))
    if not ok and samples and latency_ns <= expected:
        route_unlock(&t.lock)           # a quick failure says nothing about latency
        return
    if samples == 0:
        expected, deviation, side = latency_ns, latency_ns >> 1, 0
    else:
        gain = max(min(<int64_t>(t.weight // WEIGHT) + 1, <int64_t>(TRIAL_GAIN if tried else GAIN)), <int64_t>2)
        off = latency_ns - expected
        side = 0
        far = -off if off < 0 else off
        if tried and off < 0 and latency_ns < route_get(&r.targets[taken - 1].expected_ns):
            side = -1
        elif far > max(4 * deviation, expected >> 1):
            side = -1 if off < 0 else 1
        if side and side == t.surprise:
            expected = (latency_ns + t.surprise_ns) >> 1
            deviation = expected >> 2
            side = 0
        else:
            expected += off // gain
            deviation += (far - deviation) // gain
    t.surprise, t.surprise_ns = side, latency_ns
    t.trial = tried and side < 0
    route_put(&t.expected_ns, expected)
    route_put(&t.deviation_ns, deviation)
    # The peak: up at once, down with time.
    share = route_halved(t.peak_ns, now_ns - t.peak_at_ns, half_life_ns)
    if latency_ns >= share or samples == 0:
        share = latency_ns
    else:
        share += (latency_ns - share) // GAIN
    route_put(&t.peak_ns, share)
    route_put(&t.peak_at_ns, now_ns)
    if t.weight < WEIGHT_MOST:
        t.buckets[route_bucket_of(latency_ns)] += WEIGHT
        t.weight += WEIGHT
    # Of so many samples, and of what strays so much.
    share = t.weight // WEIGHT
    share = min(share, <int64_t>4096)
    route_put_word(&t.confidence, <uint32_t>(100 * share * expected // ((share + 8) * (expected + deviation) + 1)))
    t.since_quantiles += 1
    if t.since_quantiles >= QUANTILES_EVERY or samples < QUANTILES_EVERY:
        t.since_quantiles = 0
        route_put(&t.p50_ns, route_quantile(t, 500))
        route_put(&t.p95_ns, route_quantile(t, 950))
        route_put(&t.p99_ns, route_quantile(t, 990))
    route_unlock(&t.lock)
