"""Results of pre-trade checks, kept by everything that they depend on. One thread. Off unless asked for.

The key is the order as the controls see it and three version numbers: of the account (moves with each of its orders,
fills, marks and limits), of the instrument, and of what holds for all. It is compared whole, so that a result is only
used where a fresh check would say the same. What depends on time or moves state (a message rate, band prices, executions,
duplicates, age of the price, an expiry, the credit of all accounts) is never kept.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.lru cimport lru_t
from nautilus.core.risk cimport intent_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

cdef enum:
    RISK_CACHE_LIFE_NS = 1000000000

ctypedef struct risk_key_t:
    uint64_t[16] word

ctypedef struct risk_result_t:
    risk_key_t key
    uint32_t bits
    intent_t intent

ctypedef struct risk_cache_t:
    lru_t lru
    risk_result_t* results
    uint64_t bypassed

cdef int risk_cache_open(risk_cache_t* cache, uint32_t capacity) noexcept nogil
cdef void risk_cache_close(risk_cache_t* cache) noexcept nogil
# The result of `pretrade_check`, from the cache or fresh.
cdef uint32_t risk_cache_check(
    kernel_t* k, const command_t* c, intent_t* intent, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil
