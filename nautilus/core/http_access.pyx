"""One thread at a time, the loop's. Who has been let in before, by the words that were shown.

The rules themselves are in `nautilus.runtime.http.access`; whoever comes with the same words is let in by what is known,
as long as the keys are the same.
"""

from libc.stdint cimport int64_t

from nautilus.core.http_link cimport ExchangeBase, wall_ns
from nautilus.core.proxy_head cimport shown_by


cdef class AccessBase:

    def __init__(self, keys):
        self._keys = keys
        self._known = {}

    def admit(self, str exchange_method not None, bytes target not None, headers, int64_t now_ns, *, str scope=None,
              str certificate="", bint tls=False):
        return self.let_in(exchange_method, target, headers, now_ns, scope, certificate, tls)

    cdef object let_in(self, str method, bytes target, object headers, int64_t now_ns, str scope, str certificate, bint tls):
        cdef tuple shown = None, place
        cdef object admitted
        if not certificate and (method == "GET" or method == "HEAD"):
            shown = shown_by(<list>headers if type(headers) is list else list(headers))
            if shown is not None:
                place = (shown, scope, tls)
                known = self._known.get(place)
                if known is not None:
                    admitted = self.again(<tuple>known, now_ns)
                    if admitted is not None:
                        return admitted
        admitted = self._admit(method, target, headers, now_ns, scope, certificate, tls=tls)
        if shown is not None and admitted.digest is None:
            self._remember(place, admitted, now_ns, target)
        return admitted

    cdef object again(self, tuple known, int64_t now_ns):
        """Let in who has shown the same before, as long as the keys are the same; None: look closely."""
        cdef object admitted, key, ring
        admitted, key, ring = known
        if key is not None:
            if self._keys is None or self._keys.ring(now_ns) is not ring or 0 < key.expires_ns <= now_ns:
                return None
            if key.interval_ns:
                self._limit(key, now_ns)
        return admitted


cdef class RulesAccessBase:

    def __init__(self, AccessBase rules not None):
        self._rules = rules

    def admit(self, ExchangeBase exchange not None, str scope not None):
        cdef bint tls = exchange.secured()
        cdef str certificate = exchange.peer_certificate if tls else ""
        return self._rules.let_in(exchange.method, exchange.target, exchange.headers, wall_ns(), scope, certificate, tls)
