"""The trading kernel: commands in, events out, one deterministic state machine. One thread.

Rules: docs/kernel.md.
"""

cimport numpy as cnp
from libc.stdint cimport uint32_t

from nautilus.core.journal cimport journal_t
from nautilus.core.risk_cache cimport risk_cache_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

cdef class Kernel:
    cdef kernel_t state
    cdef object journal                 # Journal or None
    cdef journal_t* journal_state       # its inside, NULL without one
    cdef str stopped                    # why nothing more is taken; None while it runs
    cdef bint busy                      # a batch is under way, perhaps without the interpreter lock
    cdef risk_cache_t risk_results
    cdef uint32_t risk_cache_capacity   # 0: none
    cdef dict account_states            # the last answer of `account`, by index
    cdef bint set_hashes(self, int kind) except -1
    cdef int begin_cache(self) except -1
    cdef int begin(self, uint32_t capacity, uint32_t closed_capacity, bint huge) except -1
    cdef int alone(self) except -1
    cdef int check_running(self) except -1
    cdef int stop(self, str reason) except -1
    cdef Py_ssize_t run(self, const command_t* commands, Py_ssize_t count, cnp.ndarray out) except -1
    cdef int settle(self) except -1
    cdef int check_room(self, const command_t* commands, Py_ssize_t count) except -1
    cdef object all_events(self, const command_t* commands, Py_ssize_t count)
    cdef uint32_t known(self, object instrument_id) except 0
    cdef uint32_t open_account(self, object account_id) except 0
