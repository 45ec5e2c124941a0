"""Python face of the hash map; the operations are inline in hashmap.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.hashmap cimport (
    MAP_ABSENT,
    map_close,
    map_delete,
    map_find,
    map_open,
    map_put,
    map_t,
)


cdef class HashMap:
    """One writer, no lock. Map from keys 1 to 2^64 - 1 to values 0 to 2^32 - 2, of fixed size.

    Parameters
    ----------
    max_entries : int
        1 to 2^32. Twice as many slots or more are reserved; memory is committed as they are touched.
    """

    cdef map_t _map

    def __cinit__(self, uint64_t max_entries):
        if map_open(&self._map, max_entries) != 0:
            raise ValueError(f"HashMap: max_entries {max_entries}, expected 1 to 2^32 and memory for it")

    def __dealloc__(self):
        map_close(&self._map)

    def __len__(self):
        return self._map.count

    def get(self, uint64_t key):
        """The value of the key, or None."""
        cdef uint32_t* value = map_find(&self._map, key)
        return None if value is NULL else value[0]

    def put(self, uint64_t key, uint32_t value):
        """Store or overwrite; False where the map is full.

        Raises
        ------
        ValueError
            Key 0 or value 2^32 - 1, which are reserved.
        """
        if key == 0 or value == <uint32_t>MAP_ABSENT:
            raise ValueError(f"HashMap.put: key {key}, value {value}; key 0 and value 2^32 - 1 are reserved")
        return map_put(&self._map, key, value) == 0

    def delete(self, uint64_t key):
        """Remove the key; the value it had, or None."""
        cdef uint32_t value = map_delete(&self._map, key)
        return None if value == <uint32_t>MAP_ABSENT else value

    def slots(self):
        """Number of slots."""
        return self._map.mask + 1
