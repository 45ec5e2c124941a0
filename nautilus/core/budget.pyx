"""One thread at a time. How often may be sent again: see `nautilus.policy.retry.RetryBudget`."""


cdef class Budget:

    def __init__(self, double share, double most, double reserve):
        self._share = share
        self._most = most
        self._tokens = reserve

    def deposit(self, now_ns=0):
        self.put()

    cdef void put(self) noexcept:
        cdef double tokens = self._tokens + self._share
        self._tokens = tokens if tokens < self._most else self._most

    def withdraw(self, now_ns=0):
        # What a fifth put in five times lacks to one is rounding.
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            self.granted += 1
            return True
        self.refused += 1
        return False
