"""Results of pre-trade checks, kept by what they depend on."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from nautilus.core.hashmap cimport map_mix
from nautilus.core.lru cimport lru_close, lru_find, lru_open, lru_take
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.pretrade cimport pretrade_check
from nautilus.core.risk cimport intent_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    LIMIT_CREDIT_TOTAL,
    LIMIT_DUPLICATE,
    LIMIT_MESSAGE_RATE,
    LIMIT_PRICE_BAND,
    LIMIT_REPEATED,
    LIMIT_STALE_PRICE,
    TIF_DAY,
    TIF_GTD,
    command_t,
)

cdef enum:
    NEVER = (
        1 << LIMIT_MESSAGE_RATE | 1 << LIMIT_PRICE_BAND | 1 << LIMIT_REPEATED | 1 << LIMIT_DUPLICATE
        | 1 << LIMIT_STALE_PRICE | 1 << LIMIT_CREDIT_TOTAL
    )


cdef int risk_cache_open(risk_cache_t* cache, uint32_t capacity) noexcept nogil:
    cache.bypassed = 0
    cache.results = <risk_result_t*>map_region(sizeof(risk_result_t) * (<size_t>capacity + 1), False)
    if cache.results == NULL:
        return -1
    if lru_open(&cache.lru, capacity, RISK_CACHE_LIFE_NS):
        unmap_region(cache.results, sizeof(risk_result_t) * (<size_t>capacity + 1))
        cache.results = NULL
        return -1
    return 0


cdef void risk_cache_close(risk_cache_t* cache) noexcept nogil:
    if cache.results != NULL:
        unmap_region(cache.results, sizeof(risk_result_t) * (<size_t>cache.lru.capacity + 1))
        cache.results = NULL
        lru_close(&cache.lru)


cdef inline uint64_t key_of(
    const kernel_t* k, const command_t* c, const intent_t* intent, uint32_t instrument, uint32_t account,
    risk_key_t* key
) noexcept nogil:
    cdef uint64_t hash = 0
    cdef int i
    memset(key, 0, sizeof(risk_key_t))
    key.word[0] = (<uint64_t>account << 32) | instrument
    key.word[1] = <uint64_t>k.accounts[account].risk.version
    key.word[2] = <uint64_t>k.instruments[instrument].version
    key.word[3] = <uint64_t>k.version
    key.word[4] = <uint64_t>c.price_ticks
    key.word[5] = <uint64_t>c.quantity
    key.word[6] = (
        <uint64_t>c.side | <uint64_t>c.order_type << 8 | <uint64_t>c.time_in_force << 16 | <uint64_t>c.flags << 24
        | <uint64_t>intent.strategy << 40 | <uint64_t>intent.side << 56
    )
    key.word[7] = (
        <uint64_t>intent.kind | <uint64_t>intent.replaced << 8 | <uint64_t>intent.reducing << 16
        | <uint64_t>intent.parked << 24 | <uint64_t>intent.has_trigger << 32
    )
    key.word[8] = <uint64_t>intent.trigger
    key.word[9] = <uint64_t>intent.filled
    key.word[10] = <uint64_t>intent.leaves
    key.word[11] = <uint64_t>intent.value
    for i in range(12):
        hash = (hash ^ key.word[i]) * <uint64_t>0x9E3779B97F4A7C15
        hash ^= hash >> 29
    hash = map_mix(hash)
    return hash if hash else 1


cdef uint32_t risk_cache_check(
    kernel_t* k, const command_t* c, intent_t* intent, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil:
    cdef risk_cache_t* cache = <risk_cache_t*>k.cache
    cdef risk_key_t key
    cdef uint64_t hash
    cdef uint32_t place, bits
    cdef risk_result_t* result
    if (
        k.accounts[account].flags & ACCOUNT_EXEMPT or k.positions[position].controls & NEVER or c.expire_ns
        or c.time_in_force == TIF_DAY or c.time_in_force == TIF_GTD
        or (c.trigger_ticks | c.display_quantity | c.min_quantity | <int64_t>c.parent_order_id | c.offset | c.group_id)
    ):
        cache.bypassed += 1
        return pretrade_check(k, c, intent, instrument, account, position)
    hash = key_of(k, c, intent, instrument, account, &key)
    place = lru_find(&cache.lru, hash, k.now_ns)
    if place:
        result = &cache.results[place]
        if memcmp(&result.key, &key, sizeof(risk_key_t)) == 0:
            intent[0] = result.intent
            return result.bits
    bits = pretrade_check(k, c, intent, instrument, account, position)
    result = &cache.results[lru_take(&cache.lru, hash, k.now_ns)]
    result.key = key
    result.bits = bits
    result.intent = intent[0]
    return bits
