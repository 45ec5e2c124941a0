"""The trading kernel: its Python face."""

cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from functools import partial

import numpy as np

from nautilus.core.account_view cimport account_state, lot_rows, position_rows
from nautilus.core.book_view cimport best_of, book_rows, side_depth
from nautilus.core.hashing cimport hash_kind, hash_name, hash_open, hash_value
from nautilus.core.hooks cimport hooks_set
from nautilus.core.journal cimport (
    POLICY_MEMORY,
    Journal,
    journal_flush,
    journal_hashes,
    journal_put_hash,
    journal_room,
)
from nautilus.core.order_view cimport order_rows, place_of
from nautilus.core.orders cimport kernel_run
from nautilus.core.risk_cache cimport risk_cache_close, risk_cache_open
from nautilus.core.snapshot cimport snapshot_hash, snapshot_read, snapshot_write
from nautilus.core.state cimport (
    account_of,
    instrument_of,
    order_of,
    state_close,
    state_open,
)
from nautilus.core.types cimport COMMAND_ACCOUNT, COMMAND_NEW, COMMAND_REPLACE, EVENT_REJECTED, SIDE_BUY, SIDE_SELL, event_t

from nautilus.core.account_view import POSITION
from nautilus.core.book_view import BOOK_ORDER, DEPTH
from nautilus.core.journal_reader import JournalReader
from nautilus.core.order_view import OPEN_ORDER
from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import write_snapshot
from nautilus.core.types import COMMAND, EVENT

cnp.import_array()

cdef enum:
    LARGE_WRITE = 2048          # bytes staged from which on the interpreter lock is let go for the write

cdef extern from "numpy/arrayobject.h":
    object PyArray_Empty(int dimensions, cnp.npy_intp* shape, cnp.PyArray_Descr* dtype, int fortran)


class KernelError(ValueError):
    """The kernel cannot do what was asked of its Python face; `code` is stable."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def as_commands(what):
    """COMMAND array of `what`: an array, an object with `to_commands()`, or a sequence of those."""
    if what is None:
        return np.empty(0, COMMAND)
    if isinstance(what, np.ndarray):
        if what.dtype != COMMAND:
            raise TypeError(f"commands: expected dtype nautilus.core.COMMAND, found {what.dtype}")
        return what
    if hasattr(what, "to_commands"):
        return what.to_commands()
    parts = [as_commands(part) for part in what]
    return np.concatenate(parts) if parts else np.empty(0, COMMAND)


cdef class Kernel:
    """One thread at a time. The trading core as a state machine: COMMAND array in, EVENT array out.

    Different kernels may run in different threads. Batches of 16 commands and more run without the interpreter lock;
    whoever calls meanwhile, from another thread or a finaliser, gets KernelError (BUSY). A forked child may go on with
    its copy of a kernel without a journal; the journal stays the parent's.

    instruments, limits: COMMAND arrays, objects with `to_commands()`, or sequences of them; accounts: ids to open, or
    ACCOUNT commands. They become the first commands; where one is refused (KernelError SETUP), the journal is not
    touched. capacity: open orders at once; closed_capacity: closed order ids remembered for each account, a power of
    two. huge_pages: ask for them for orders and order ids, which is faster; at the default capacities some 25 MiB then
    become resident with the first order, and 2 MiB with each further account that trades. risk_cache: results of checks
    to keep (docs/performance.md says why 0 is the default; it changes no event). journal: None, a
    `Journal`, or the path of a new one (policy `memory`). hashes: of commands and events, "xxh3", or "xxh64" as in
    journals of earlier versions; a `Journal` given, or a snapshot restored, decides instead. Raises KernelError and
    ValueError for arguments out of range, MemoryError, and JournalError or OSError from the journal.
    """

    def __init__(
        self, instruments=(), limits=None, capacity=1 << 20, journal=None, *, accounts=range(1, 17),
        closed_capacity=1 << 20, huge_pages=True, risk_cache=0, hashes="xxh3",
    ):
        if not 0 <= risk_cache <= 1 << 20:
            raise KernelError("CAPACITY", f"risk_cache: expected 0 to 2^20 results, found {risk_cache}")
        self.risk_cache_capacity = risk_cache
        if not 0 < capacity < 1 << 31:
            raise KernelError("CAPACITY", f"capacity: expected 1 to 2^31 - 1 open orders, found {capacity}")
        if not 0 < closed_capacity <= 1 << 30 or closed_capacity & (closed_capacity - 1):
            raise KernelError(
                "CAPACITY", f"closed_capacity: expected a power of two up to 2^30, found {closed_capacity}"
            )
        if not isinstance(accounts, np.ndarray):
            ids = list(accounts)
            accounts = np.zeros(len(ids), COMMAND)
            accounts["kind"] = COMMAND_ACCOUNT
            accounts["account_id"] = ids
        first = np.concatenate([as_commands(instruments), as_commands(accounts), as_commands(limits)])
        self.begin(capacity, closed_capacity, huge_pages)
        self.set_hashes(hash_kind(hashes))
        events = self.process(first)
        refused = events[events["kind"] == EVENT_REJECTED]
        if refused.size:
            at = int(refused["command_sequence"][0]) - 1
            raise KernelError(
                "SETUP",
                f"kernel: set-up command {at + 1} of {len(first)} (kind {first['kind'][at]}, instrument "
                f"{first['instrument_id'][at]}, account {first['account_id'][at]}) was refused, reason "
                f"{refused['reason'][0]}",
            )
        if journal is not None:
            self.begin(capacity, closed_capacity, huge_pages)   # anew: now that they are known to pass, into the journal
            self.set_hashes(hash_kind(hashes))
            self.attach(journal)
            self.process(first)

    cdef int begin(self, uint32_t capacity, uint32_t closed_capacity, bint huge) except -1:
        """An empty state."""
        if self.busy or self.journal is not None:
            raise KernelError("BUSY", "kernel: expected to be set up once")
        state_close(&self.state)
        self.account_states = {}
        if state_open(&self.state, capacity, closed_capacity, huge):
            state_close(&self.state)
            raise MemoryError(f"kernel: no memory for {capacity} orders")
        hooks_set(&self.state)
        self.begin_cache()
        return 0

    cdef bint set_hashes(self, int kind) except -1:
        """Go by that kind of running hashes; False where they have begun with another."""
        if self.state.event_hash.kind != <uint64_t>kind and self.state.sequence == 0:
            hash_open(&self.state.event_hash, kind)
            hash_open(&self.state.command_hash, kind)
        return self.state.event_hash.kind == <uint64_t>kind

    cdef int begin_cache(self) except -1:
        """The cache of this state, empty."""
        risk_cache_close(&self.risk_results)
        self.state.cache = NULL
        if self.risk_cache_capacity:
            if risk_cache_open(&self.risk_results, self.risk_cache_capacity):
                raise MemoryError(f"kernel: no memory for {self.risk_cache_capacity} results")
            self.state.cache = &self.risk_results
        return 0

    def __dealloc__(self):
        state_close(&self.state)
        risk_cache_close(&self.risk_results)

    def attach(self, journal):
        """Journals every command from now on into `journal`: a Journal, or the path of one."""
        cdef Journal opened
        self.alone()
        if self.journal is not None:
            raise KernelError("JOURNAL", f"attach: expected a kernel without a journal, found {self.journal.path}")
        opened = journal if isinstance(journal, Journal) else Journal(
            journal, capacity=self.state.capacity, closed_capacity=self.state.closed_capacity, hashes=self.hashes
        )
        if opened.state.last_sequence != self.state.sequence:
            last = opened.state.last_sequence
            if opened is not journal:
                opened.close()
            raise KernelError(
                "JOURNAL",
                f"{opened.path}: expected a journal that ends at command {self.state.sequence}, found {last}; "
                "Kernel.open(path) goes on from an existing one",
            )
        if not self.set_hashes(journal_hashes(&opened.state)):
            raise KernelError(
                "JOURNAL", f"{opened.path}: expected a journal with {self.hashes} hashes, found {opened.hashes}"
            )
        self.journal = opened
        self.journal_state = &opened.state

    @classmethod
    def open(cls, path, *, policy="memory"):
        """The kernel that the journal at `path` describes, with the journal attached.

        A damaged tail is cut first (`recovery` tells). Restores the latest sound snapshot, replays what follows and
        compares the running hashes; raises KernelError (REPLAY_DIFFERS) naming the first block that differs,
        JournalError where the journal is none or is in use, OSError where there is no such directory.
        """
        damage = JournalReader(path, strict=False, any_rules=True).damage
        if damage is not None and damage.what == "not a journal":
            raise JournalError(f"{path}: {damage}", damage.what)
        replay = _replay_with(partial(cls, accounts=()))
        opened = Journal(path, policy=policy, replay=replay)
        try:
            kernel = replay.finish(opened)
            kernel.attach(opened)
        except BaseException:
            opened.close()
            raise
        return kernel

    @classmethod
    def replay(cls, path, *, on_events=None, snapshots=True, strict=True):
        """The kernel after the journal at `path`, which is only read; `on_events` gets the EVENT arrays of the replay.

        snapshots: begin at the latest sound one. strict: raise JournalError at damage, else stop before it.
        """
        replay = _replay_with(partial(cls, accounts=()), on_events=on_events, snapshots=snapshots)
        damage = replay.walk(path).damage
        replay.check()
        if strict and damage is not None:
            raise JournalError(f"{path}: {damage}", damage.what)
        return cls(accounts=(), capacity=1, closed_capacity=1) if replay.kernel is None else replay.kernel

    def checkpoint(self):
        """Writes a snapshot beside the journal, so that `open` need not replay what lies before."""
        if self.journal is None:
            raise KernelError("JOURNAL", "checkpoint: expected a kernel with a journal")
        self.check_running()
        write_snapshot(self.journal.path, self.state.sequence, self.snapshot())

    @property
    def recovery(self):
        """JournalReport of what opening the journal found and cut; None where it was new, or there is none."""
        return self.journal.recovery if self.journal is not None else None

    def process(self, commands):
        """Events of `commands`, in order. Both are arrays of the module's dtypes; the input is not changed.

        Raises TypeError or ValueError for an array of another kind, JournalError (JOURNAL_FULL) before anything is
        taken where the journal has no room for new orders.
        """
        cdef cnp.ndarray array = checked(commands, COMMAND, "commands")
        cdef const command_t* rows = <const command_t*>cnp.PyArray_DATA(array)
        self.check_room(rows, cnp.PyArray_SIZE(array))
        self.busy = True
        try:
            return self.all_events(rows, cnp.PyArray_SIZE(array))
        except BaseException:
            self.stop("a batch was not carried through")
            raise
        finally:
            self.busy = False

    def process_into(self, commands, out):
        """(consumed, produced): takes commands while their events fit into the EVENT array `out`.

        Events that do not fit are kept and come first next time; call again with the commands not consumed (or with
        none) until `consumed` covers all and `produced` is less than the length of `out`. Raises as `process` does;
        where the journal cannot be written, `out` is zeroed: no event leaves.
        """
        cdef cnp.ndarray array = checked(commands, COMMAND, "commands")
        cdef cnp.ndarray into = checked(out, EVENT, "out")
        cdef const command_t* rows = <const command_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t consumed
        if not cnp.PyArray_ISWRITEABLE(into):
            raise ValueError("out: expected a writable array")
        self.check_room(rows, cnp.PyArray_SIZE(array))
        self.busy = True
        try:
            consumed = self.run(rows, cnp.PyArray_SIZE(array), into)
            self.settle()
        except BaseException:
            memset(cnp.PyArray_DATA(into), 0, cnp.PyArray_SIZE(into) * sizeof(event_t))
            self.stop("a batch was not carried through")
            raise
        finally:
            self.busy = False
        return consumed, self.state.out_count

    cdef object all_events(self, const command_t* commands, Py_ssize_t count):
        cdef Py_ssize_t done = 0, kept
        parts = None
        while True:
            kept = self.state.spill_count - self.state.spill_read
            out = new_events(count - done + ((count - done) >> 2) + 16 + kept)
            done += self.run(commands + done, count - done, out)
            out = out[:self.state.out_count]
            if done == count and self.state.spill_read == self.state.spill_count:
                break
            parts = [out] if parts is None else [*parts, out]
        self.settle()
        return out if parts is None else np.concatenate([*parts, out])

    cdef Py_ssize_t run(self, const command_t* commands, Py_ssize_t count, cnp.ndarray out) except -1:
        """Fills `out`: kept events first, then those of commands; the number of commands taken."""
        cdef kernel_t* k = &self.state
        cdef Py_ssize_t i = 0, kept
        cdef journal_t* journal = self.journal_state
        k.out = <event_t*>cnp.PyArray_DATA(out)
        k.out_capacity = cnp.PyArray_SIZE(out)
        k.out_count = 0
        k.out_hashed = 0
        kept = k.spill_count - k.spill_read
        if kept:
            if kept > k.out_capacity:
                kept = k.out_capacity
            memcpy(k.out, &k.spill[k.spill_read], kept * sizeof(event_t))
            k.out_count = kept
            k.out_hashed = kept
            k.spill_read += kept
        if k.spill_read == k.spill_count:
            k.spill_read = 0
            k.spill_count = 0
            k.spill_hashed = 0
            if count < 16:
                i = kernel_run(k, commands, count, journal, True)
            else:
                with nogil:
                    i = kernel_run(k, commands, count, journal, True)
        k.out = NULL
        k.out_capacity = 0
        return i

    cdef int alone(self) except -1:
        """Raises where a batch is under way, or the kernel was never set up."""
        if self.busy:
            raise KernelError("BUSY", "kernel: expected one thread at a time, found a batch under way")
        if self.state.sources == NULL:
            raise KernelError("STOPPED", "kernel: expected one that is set up, found none")
        return 0

    cdef int check_running(self) except -1:
        self.alone()
        if self.journal_state != NULL and self.journal_state.error:
            self.stop("its journal failed")
        if self.stopped is not None:
            raise KernelError("STOPPED", f"kernel: stopped, as {self.stopped}; open it anew from the journal")
        return 0

    cdef int stop(self, str reason) except -1:
        """Nothing is taken any more; the first reason counts."""
        if self.stopped is None:
            self.stopped = reason
        return 0

    cdef int check_room(self, const command_t* commands, Py_ssize_t count) except -1:
        """Raises before anything is taken where the kernel has stopped or new orders have no room in the journal."""
        cdef Py_ssize_t i
        self.check_running()
        if self.journal_state == NULL or journal_room(self.journal_state, count):
            return 0
        for i in range(count):
            if commands[i].kind == COMMAND_NEW or commands[i].kind == COMMAND_REPLACE:
                raise JournalError(
                    f"{self.journal.path}: no room for {count} more commands; new orders are refused, cancels are taken",
                    "journal full",
                )
        return 0

    cdef int settle(self) except -1:
        """Writes the journal: no event is handed out before."""
        cdef journal_t* journal = self.journal_state
        cdef int error
        if journal == NULL:
            return 0
        if journal.used < LARGE_WRITE and journal.policy == POLICY_MEMORY:
            error = journal_flush(journal)
        else:
            with nogil:
                error = journal_flush(journal)
        if error:
            self.stop("its journal failed")
            raise OSError(-error, f"{self.journal.path}: the journal could not be written; the kernel has stopped")
        return 0

    def close(self):
        """Ends the journal cleanly, if there is one: then no more commands are taken. It can still be looked at."""
        cdef kernel_t* k = &self.state
        self.alone()
        if self.journal is not None:
            if self.stopped is None and k.sequence >= self.journal_state.first_sequence:
                # So that also what came after the last whole block is compared when it is replayed.
                journal_put_hash(
                    self.journal_state, k.sequence, k.event_sequence, hash_value(&k.event_hash),
                    hash_value(&k.command_hash)
                )
            journal, self.journal, self.journal_state = self.journal, None, NULL
            self.stop("its journal was closed")
            journal.close()

    def snapshot(self):
        """The whole state as bytes, for `restore`; layout in docs/kernel.md."""
        self.alone()
        return snapshot_write(&self.state)

    def restore(self, data):
        """Takes over the state of a `snapshot`; events not yet fetched by `process_into` are dropped with the old one.

        Raises ValueError for bytes that are none, MemoryError: the state is as it was then, but nothing more is taken.
        """
        self.alone()
        if self.journal is not None:
            raise KernelError("JOURNAL", "restore: expected a kernel without a journal")
        try:
            snapshot_read(&self.state, data)
            self.account_states = {}
            self.begin_cache()
        except BaseException:
            self.stop("its state could not be restored")
            raise

    def state_hash(self):
        """XXH64 of the canonical state."""
        self.alone()
        return snapshot_hash(&self.state)

    def event_hash(self):
        """XXH3-64 of all EVENT records since the journal began; XXH64 where `hashes` says so."""
        self.alone()
        return hash_value(&self.state.event_hash)

    def journal_hash(self):
        """The same of all COMMAND records, sequenced and stamped."""
        self.alone()
        return hash_value(&self.state.command_hash)

    def depth(self, instrument_id, levels=10):
        """(bids, asks): DEPTH arrays of at most `levels` levels, best first: price_ticks, quantity, orders."""
        cdef uint32_t instrument = self.known(instrument_id)
        return (side_depth(&self.state, instrument, SIDE_BUY, levels),
                side_depth(&self.state, instrument, SIDE_SELL, levels))

    def best(self, instrument_id):
        """(bid, bid quantity, ask, ask quantity) in ticks and lots; quantity 0 where a side is empty."""
        return best_of(&self.state, self.known(instrument_id))

    def book(self, instrument_id, levels=None):
        """BOOK_ORDER array of the displayed orders in priority order: bids from the best, then asks from the best.

        quantity: lots displayed. levels: at most so many prices of each side; None: all. Raises KernelError for an
        instrument that is not known.
        """
        cdef int64_t most = (<int64_t>1 << 62) if levels is None else max(0, min(levels, 1 << 62))
        return book_rows(&self.state, self.known(instrument_id), most)

    def orders(self, account_id=0, instrument_id=0):
        """OPEN_ORDER array of every open order of an account in an instrument (0: of all), wherever it stands.

        In walk order (docs/kernel-orders.md), fields as in docs/kernel.md, "What can be seen". Raises KernelError for
        an id that is not known.
        """
        cdef uint32_t account = 0, instrument = 0
        self.alone()
        if account_id:
            account = self.open_account(account_id)
        if instrument_id:
            instrument = self.known(instrument_id)
        return order_rows(&self.state, account, instrument)

    def queue_position(self, account_id, order_id):
        """QueuePosition of an open order, by the id that its client gave it; a cost by the orders ahead of it.

        Raises KernelError for an account that is not open (UNKNOWN_ACCOUNT) or an order that is not (UNKNOWN_ORDER).
        """
        cdef uint32_t account = self.open_account(account_id)
        cdef uint32_t slot = order_of(&self.state, account, order_id)
        if slot == 0:
            raise KernelError("UNKNOWN_ORDER", f"kernel: account {account_id} has no open order {order_id}")
        return place_of(&self.state, slot)

    def positions(self, account_id, *, lifetime_ns=0):
        """Record array of the account's positions by instrument: quantity and open orders in lots, and cost, realised
        and unrealised P&L and fees as exact integers in units of the instrument's currency; `exposure` is the gross
        value in base money, None without a mark and a rate. Raises KernelError for an account that is not open.

        lifetime_ns: as of `account`; with one the array may be handed out again, and cannot be written to.
        """
        cdef uint32_t account = self.open_account(account_id)
        if lifetime_ns <= 0:
            return position_rows(&self.state, account)
        known = self.account_states.get((account, "positions"))
        if known is None or not 0 <= self.state.now_ns - known[0] < lifetime_ns:
            known = self.account_states[account, "positions"] = self.state.now_ns, position_rows(&self.state, account)
            known[1].setflags(write=False)
        return known[1]

    def lots(self, account_id, instrument_id):
        """Record array of the lots of a FIFO account's position, oldest first: quantity (negative when short), price
        and cost. Raises KernelError for an account or an instrument that is not known.
        """
        cdef uint32_t account = self.open_account(account_id)
        return lot_rows(&self.state, account, self.known(instrument_id))

    def account(self, account_id, *, lifetime_ns=0):
        """AccountState: equity, cash by currency, exposure, credit used, and why the account has no value if so.

        lifetime_ns: an answer may be so old by the kernel's clock; 100 ms suit a display. It costs some microseconds
        a position otherwise. Raises KernelError for an account that is not open.
        """
        cdef uint32_t account = self.open_account(account_id)
        known = self.account_states.get(account)
        if known is None or lifetime_ns <= 0 or not 0 <= self.state.now_ns - known.now_ns < lifetime_ns:
            known = self.account_states[account] = account_state(&self.state, account)
        return known

    cdef uint32_t open_account(self, object account_id) except 0:
        cdef uint32_t account
        self.alone()
        account = account_of(&self.state, account_id)
        if account == 0:
            raise KernelError("UNKNOWN_ACCOUNT", f"kernel: account {account_id} is not open")
        return account

    cdef uint32_t known(self, object instrument_id) except 0:
        cdef uint32_t instrument
        self.alone()
        instrument = instrument_of(&self.state, instrument_id)
        if instrument == 0:
            raise KernelError("UNKNOWN_INSTRUMENT", f"kernel: instrument {instrument_id} is not known")
        return instrument

    @property
    def hashes(self):
        """What `event_hash` and `journal_hash` are: `xxh3` or `xxh64`."""
        return hash_name(<int>self.state.event_hash.kind)

    @property
    def risk_cache_counts(self):
        """hits, misses and bypassed checks of the risk cache; all 0 without one."""
        return {"hits": self.risk_results.lru.hits, "misses": self.risk_results.lru.misses,
                "bypassed": self.risk_results.bypassed}

    @property
    def next_timer_ns(self):
        """Due time of the next timer, 0 where none is armed."""
        self.alone()
        return self.state.timers[0].due_ns if self.state.timer_count else 0

    @property
    def now_ns(self):
        """Time of the last command."""
        return self.state.now_ns

    @property
    def last_sequence(self):
        """Sequence of the last command."""
        return self.state.sequence

    @property
    def last_event_sequence(self):
        """Sequence of the last event."""
        return self.state.event_sequence

    @property
    def open_orders(self):
        """Open orders of all accounts."""
        return self.state.market.order_pool.used

    @property
    def capacity(self):
        """Open orders that there is room for."""
        return self.state.capacity

    @property
    def closed_capacity(self):
        """Closed order ids remembered for each account."""
        return self.state.closed_capacity


def _replay_with(make, **options):
    """A Replay; its module makes kernels, so it is imported once this one is there."""
    from nautilus.core.replay import Replay
    return Replay(make, **options)


cdef cnp.ndarray new_events(Py_ssize_t count):
    cdef cnp.npy_intp size = count
    Py_INCREF(EVENT)    # the array takes it over
    return PyArray_Empty(1, &size, <cnp.PyArray_Descr*>EVENT, 0)


cdef cnp.ndarray checked(object array, object dtype, str name):
    """The array, if it is one-dimensional, C-contiguous, aligned and of the very dtype or an equal one."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array, found {type(array).__name__}")
    if array.dtype is not dtype and array.dtype != dtype:
        raise TypeError(f"{name}: expected dtype nautilus.core.{'COMMAND' if dtype is COMMAND else 'EVENT'}, "
                        f"found {array.dtype}")
    if cnp.PyArray_NDIM(array) != 1 or not cnp.PyArray_ISCARRAY_RO(array):
        raise ValueError(f"{name}: expected one dimension, C-contiguous and aligned, found {array.ndim} dimension(s)"
                         f"{'' if array.flags.c_contiguous else ', not contiguous'}"
                         f"{'' if array.flags.aligned else ', not aligned'}")
    return array
