"""Python face of the shared throttle; the operations are in throttle.pxd."""

import errno as codes
import fcntl
import os

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from nautilus.core.region cimport region_attach, region_create, region_detach, region_t
from nautilus.core.throttle cimport (
    CLAIM_ACCEPTED,
    CLAIM_EARLY,
    CLAIM_FULL,
    CLAIM_LATE,
    CLAIM_REPLAYED,
    RATE_FULL,
    THROTTLE_ARRAYS,
    THROTTLE_KIND,
    THROTTLE_LAYOUT,
    rate_t,
    throttle_claim,
    throttle_t,
    throttle_take,
)

ACCEPTED, REPLAYED, LATE, EARLY, FULL = CLAIM_ACCEPTED, CLAIM_REPLAYED, CLAIM_LATE, CLAIM_EARLY, CLAIM_FULL
NO_ROOM = RATE_FULL
LONGEST_NONCE = 64
MOST_BURST = 1_000_000
MOST_INTERVAL_NS = 3_600_000_000_000


cdef class Throttle:
    """Any number of processes. Nonces that were seen within the window, and how often each key has asked.

    Parameters
    ----------
    path : str or PathLike, optional
        File to share it through: made (for this user alone), or gone on with as it is. Without it this process and those
        forked from it share it.
    nonces : int
        Slots for each window length, a power of two; a nonce that finds none of 256 free is refused. Four times as many
        words of 8 bytes are taken. Well used up to three quarters.
    keys : int
        Keys whose rate is limited, a power of two; 16 bytes each. None of them is ever given up.
    window_ns : int
        How far from now a time may be, both ways; a second or more.
    not_before_ns : int
        Of a new one: no time up to this one is taken, as an earlier one may have taken it.

    Raises
    ------
    ValueError
        Sizes that are none, or the file is no throttle, or one of another size or window.
    OSError
        The file can be neither opened nor made.
    """

    def __cinit__(self, path=None, *, uint64_t nonces=1 << 16, uint64_t keys=1 << 12, int64_t window_ns=5_000_000_000,
                  int64_t not_before_ns=0):
        cdef throttle_t wanted
        cdef void* place
        if nonces < 256 or nonces > 1 << 28 or nonces & (nonces - 1) or keys == 0 or keys > 1 << 24 or keys & (keys - 1):
            raise ValueError(f"Throttle: {nonces} nonces and {keys} keys, expected powers of two, 256 nonces or more")
        if not 1_000_000_000 <= window_ns <= 3_600_000_000_000:
            raise ValueError(f"Throttle: window {window_ns} ns, expected a second to an hour")
        memset(&wanted, 0, sizeof(throttle_t))
        wanted.slots, wanted.keys, wanted.window_ns, wanted.not_before_ns = nonces, keys, window_ns, not_before_ns
        if path is not None:
            self.share(os.fspath(path), &wanted)
            return
        self.mapped = _bytes(&wanted)
        place = mmap(NULL, self.mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
        if place == MAP_FAILED:
            raise MemoryError("Throttle: no memory")
        self.table = <throttle_t*>place
        _begin(self.table, &wanted)

    def __dealloc__(self):
        if self.region is not NULL:
            region_detach(self.region)
        elif self.table is not NULL:
            munmap(self.table, self.mapped)

    def claim(self, uint64_t key, bytes nonce not None, int64_t stamp_ns, int64_t now_ns):
        """Take a nonce of a key, once.

        Returns
        -------
        int
            ACCEPTED: it is the first time; REPLAYED; LATE or EARLY: `stamp_ns` is outside of the window, or older than
            what is remembered; FULL: there is no room to remember it. Whatever is not ACCEPTED is to be refused.
        """
        return throttle_claim(self.table, key, <const unsigned char*>nonce, len(nonce), stamp_ns, now_ns)

    def take(self, uint64_t key, int64_t now_ns, int64_t interval_ns, int64_t burst):
        """One request of a key (not 0) that may have one each `interval_ns`, and `burst` at once.

        Returns
        -------
        int
            How many more it may have now, 0 or above. Below 0: it may not, and has to wait so many nanoseconds. NO_ROOM:
            all places for keys are taken; it may not.
        """
        if key == 0 or not 0 < interval_ns <= MOST_INTERVAL_NS or not 0 < burst <= MOST_BURST:
            raise ValueError(f"Throttle.take: key {key}, {burst} at once, one each {interval_ns} ns")
        return throttle_take(self.table, key, now_ns, interval_ns, burst)

    @property
    def window_ns(self):
        """How far from now a time may be."""
        return self.table.window_ns

    @property
    def not_before_ns(self):
        """No time up to this one is taken."""
        return self.table.not_before_ns

    cdef int share(self, str path, throttle_t* wanted) except -1:
        # Who comes first makes it. It takes its name when it is whole.
        cdef bytes name = path.encode(), made = f"{path}.made".encode()
        cdef int lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        cdef throttle_t* table
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.region = region_attach(name, THROTTLE_KIND, THROTTLE_LAYOUT)
            if self.region is NULL:
                if errno != codes.ENOENT:
                    raise _refusal(path, errno)
                self.region = region_create(made, sizeof(region_t) + _bytes(wanted), THROTTLE_KIND, THROTTLE_LAYOUT, 0)
                if self.region is NULL:
                    raise _refusal(path, errno)
                _begin(<throttle_t*>(self.region + 1), wanted)
                os.rename(made, name)
        finally:
            os.close(lock)
        table = <throttle_t*>(self.region + 1)
        if (self.region.bytes != sizeof(region_t) + _bytes(wanted) or table.slots != wanted.slots
                or table.keys != wanted.keys or table.window_ns != wanted.window_ns):
            raise ValueError(f"{path}: a throttle of {table.slots} nonces, {table.keys} keys and a window of "
                             f"{table.window_ns} ns, expected {wanted.slots}, {wanted.keys} and {wanted.window_ns}")
        self.table = table
        return 0


cdef size_t _bytes(const throttle_t* wanted):
    return (sizeof(throttle_t) + <size_t>THROTTLE_ARRAYS * wanted.slots * sizeof(uint64_t)
            + <size_t>wanted.keys * sizeof(rate_t))


cdef int _begin(throttle_t* table, const throttle_t* wanted) except -1:
    cdef bytes salt = os.urandom(16)
    table[0] = wanted[0]
    memcpy(table.salt, <const char*>salt, 16)
    return 0


cdef _refusal(str path, int why):
    if why == codes.EINVAL:
        return ValueError(f"{path}: damaged, or no throttle")
    return OSError(why, os.strerror(why), path)
