"""One breaker around functions, coroutine functions and blocks; these forms read the machine's clock by themselves."""

import inspect
import types

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t

from nautilus.core.breaker cimport B_CANCELLED, B_FAILURE, B_IGNORED, B_SUCCESS, B_TIMEOUT, Breaker
from nautilus.core.holders cimport machine_ns

from nautilus.core.breaker import REASONS, BreakerRejected

cdef extern from "Python.h":
    PyObject* PyObject_Vectorcall(PyObject* callee, PyObject* const* arguments, size_t count, PyObject* names)
    int PyIter_Send(PyObject* iterator, PyObject* value, PyObject** result)
    void PyErr_Fetch(PyObject** kind, PyObject** value, PyObject** traceback)
    void PyErr_Restore(PyObject* kind, PyObject* value, PyObject* traceback)
    int PyErr_GivenExceptionMatches(PyObject* given, PyObject* kind)

cdef extern from *:
    """
    /* Calls with their arguments as they are, without a tuple of them; and awaits without an exception at their end. */
    static void make_vectorcall(PyObject *kind, Py_ssize_t offset)
    {
        PyTypeObject *type = (PyTypeObject *)kind;
        type->tp_vectorcall_offset = offset;
        type->tp_call = PyVectorcall_Call;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified(type);
    }
    static void make_sender(PyObject *kind, int (*send)(PyObject *, PyObject *, PyObject **))
    {
        ((PyTypeObject *)kind)->tp_as_async->am_send = (sendfunc)(void *)send;
    }
    """
    void make_vectorcall(PyObject* kind, Py_ssize_t offset)
    void make_sender(PyObject* kind, int (*send)(PyObject*, PyObject*, PyObject**) except -1)

cdef enum:
    SENT_ERROR = -1
    SENT_RETURN = 0
    SENT_NEXT = 1


cdef inline int64_t _now(object clock) except? -1:
    return machine_ns() if clock is None else clock()


cdef int _outcome_of(PyObject* kind, tuple ignored) except -1:
    # A call that was stopped from outside says nothing of the callee; a time-out does.
    if PyErr_GivenExceptionMatches(kind, <PyObject*>TimeoutError):
        return B_TIMEOUT
    if not PyErr_GivenExceptionMatches(kind, <PyObject*>Exception):
        return B_CANCELLED                    # asyncio.CancelledError too
    return B_IGNORED if ignored and PyErr_GivenExceptionMatches(kind, <PyObject*>ignored) else B_FAILURE


cdef int _failed(Breaker breaker, int64_t ticket, object clock, tuple ignored) except -1:
    # The call has raised: count it, and let the exception be.
    cdef PyObject* kind
    cdef PyObject* value
    cdef PyObject* traceback
    PyErr_Fetch(&kind, &value, &traceback)
    try:
        breaker.leave(ticket, _now(clock), _outcome_of(kind, ignored))
    finally:
        PyErr_Restore(kind, value, traceback)
    return 0


cdef int _reject(Breaker breaker, int64_t ticket, int64_t now_ns) except -1:
    raise BreakerRejected(breaker.name, REASONS[-ticket], breaker.wait_ns(now_ns))


@cython.freelist(64)
cdef class Permit:
    """One call through a breaker, as a context."""

    def __enter__(self):
        cdef int64_t now_ns = _now(self.clock)
        self.ticket = self.breaker.enter(now_ns)
        if self.ticket < 0:
            _reject(self.breaker, self.ticket, now_ns)
        return self

    def __exit__(self, kind, error, traceback):
        cdef int outcome = B_SUCCESS if kind is None else _outcome_of(<PyObject*>kind, self.ignored)
        self.breaker.leave(self.ticket, _now(self.clock), outcome)
        return False

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, kind, error, traceback):
        return self.__exit__(kind, error, traceback)


cdef PyObject* guarded_call(PyObject* callee, PyObject* const* arguments, size_t count, PyObject* names) except NULL:
    cdef Guarded guarded = <Guarded>callee
    cdef int64_t now_ns = _now(guarded.clock)
    cdef int64_t ticket = guarded.breaker.enter(now_ns)
    if ticket < 0:
        _reject(guarded.breaker, ticket, now_ns)
    cdef PyObject* result = PyObject_Vectorcall(<PyObject*>guarded.function, arguments, count, names)
    if result is NULL:
        _failed(guarded.breaker, ticket, guarded.clock, guarded.ignored)
        return NULL
    guarded.breaker.leave(ticket, _now(guarded.clock), B_SUCCESS)
    return result


cdef class Guarded:
    """A function with a breaker around each call."""

    def __call__(self, *arguments, **named):
        return self.function(*arguments, **named)  # replaced below by `guarded_call`

    def __get__(self, owner, kind):
        return self if owner is None else types.MethodType(self, owner)

    @property
    def __wrapped__(self):
        return self.function

    def __getattr__(self, name):
        return getattr(self.function, name)


cdef class GuardedCoroutines:
    """A coroutine function with a breaker around each call, from its first step to its end."""

    def __call__(self, *arguments, **named):
        cdef GuardedCall call = GuardedCall.__new__(GuardedCall)
        call.guarded = self.plain
        call.coroutine = self.plain.function(*arguments, **named)
        return call

    def __get__(self, owner, kind):
        return self if owner is None else types.MethodType(self, owner)

    @property
    def __wrapped__(self):
        return self.plain.function

    def __getattr__(self, name):
        return getattr(self.plain.function, name)


cdef PyObject* coroutine_call(PyObject* callee, PyObject* const* arguments, size_t count, PyObject* names) except NULL:
    cdef Guarded guarded = (<GuardedCoroutines>callee).plain
    cdef PyObject* coroutine = PyObject_Vectorcall(<PyObject*>guarded.function, arguments, count, names)
    if coroutine is NULL:
        return NULL
    cdef GuardedCall call = GuardedCall.__new__(GuardedCall)
    call.guarded = guarded
    call.coroutine = <object>coroutine
    Py_DECREF(call.coroutine)
    Py_INCREF(call)
    return <PyObject*>call


cdef int call_send(PyObject* callee, PyObject* value, PyObject** result) except -1:
    cdef GuardedCall call = <GuardedCall>callee
    cdef int sent
    if call.stage == 0:
        call.begin()
    sent = PyIter_Send(<PyObject*>call.coroutine, value, result)
    if sent == SENT_NEXT:
        return SENT_NEXT
    if sent == SENT_RETURN:
        call.end(B_SUCCESS)
        return SENT_RETURN
    call.broke()
    return SENT_ERROR


@cython.freelist(64)
cdef class GuardedCall:
    """A coroutine under way; awaited, or run as a task."""

    def __dealloc__(self):
        if self.stage == 1:                 # nobody cares for its end any more
            self.guarded.breaker.leave(self.ticket, machine_ns(), B_CANCELLED)

    cdef int begin(self) except -1:
        cdef int64_t now_ns = _now(self.guarded.clock)
        self.ticket = self.guarded.breaker.enter(now_ns)
        if self.ticket < 0:
            self.stage = 2
            self.coroutine.close()
            _reject(self.guarded.breaker, self.ticket, now_ns)
        self.stage = 1
        return 0

    cdef int end(self, int outcome) except -1:
        if self.stage == 1:
            self.stage = 2
            self.guarded.breaker.leave(self.ticket, _now(self.guarded.clock), outcome)
        return 0

    cdef int broke(self) except -1:
        if self.stage == 1:
            self.stage = 2
            _failed(self.guarded.breaker, self.ticket, self.guarded.clock, self.guarded.ignored)
        return 0

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Go on with a value, as a generator."""
        cdef PyObject* result
        cdef int sent = call_send(<PyObject*>self, <PyObject*>value, &result)
        found = <object>result
        Py_DECREF(found)
        if sent == SENT_RETURN:
            raise StopIteration(found)
        return found

    def throw(self, kind, value=None, traceback=None):
        """Go on with an exception, as a generator."""
        if self.stage == 0:
            self.begin()
        try:
            return self.coroutine.throw(kind) if value is None else self.coroutine.throw(kind, value, traceback)
        except StopIteration:
            self.end(B_SUCCESS)
            raise
        except BaseException as error:
            raised = type(error)
            self.end(_outcome_of(<PyObject*>raised, self.guarded.ignored))
            raise

    def close(self):
        """End it where it is."""
        self.coroutine.close()
        self.end(B_CANCELLED)

    @property
    def cr_await(self):
        return self.coroutine.cr_await

    @property
    def cr_frame(self):
        return self.coroutine.cr_frame

    @property
    def cr_running(self):
        return self.coroutine.cr_running

    @property
    def cr_code(self):
        return self.coroutine.cr_code


cdef Guarded _shape = Guarded.__new__(Guarded)
cdef GuardedCoroutines _other_shape = GuardedCoroutines.__new__(GuardedCoroutines)
make_vectorcall(<PyObject*>Guarded, <char*>&_shape.vectorcall - <char*><void*>_shape)
make_vectorcall(<PyObject*>GuardedCoroutines, <char*>&_other_shape.vectorcall - <char*><void*>_other_shape)
make_sender(<PyObject*>GuardedCall, call_send)


def permit(Breaker breaker not None, clock, ignored):
    """See `Breaker.permit`."""
    cdef Permit made = Permit.__new__(Permit)
    made.breaker, made.clock, made.ignored = breaker, clock, tuple(ignored)
    return made


def wrap(Breaker breaker not None, function not None, clock, ignored):
    """See `Breaker.wrap`."""
    cdef Guarded guarded = Guarded.__new__(Guarded)
    cdef GuardedCoroutines coroutines
    guarded.function, guarded.breaker, guarded.clock, guarded.ignored = function, breaker, clock, tuple(ignored)
    guarded.vectorcall = <void*>guarded_call
    if not inspect.iscoroutinefunction(function):
        return guarded
    coroutines = GuardedCoroutines.__new__(GuardedCoroutines)
    coroutines.plain = guarded
    coroutines.vectorcall = <void*>coroutine_call
    return coroutines
