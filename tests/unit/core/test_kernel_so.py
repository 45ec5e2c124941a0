"""The shared object of `make kernel-so`: same reports as the Python face, and no Python behind its hot path."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

from nautilus.core.market import MESSAGE, REPORT, Matcher

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "build/cython/nautilus/core/market.c"
PYTHON = re.compile(r"\b_?Py_?[A-Z]\w*|\bPyInit_\w+")

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc"),
    pytest.mark.skipif(not SOURCE.exists(), reason="the extension was not built from this directory"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the counter between object and libpython is x86 code"),
    pytest.mark.skipif(sysconfig.get_config_var("Py_ENABLE_SHARED") != 1, reason="this Python has no libpython"),
]

# A host without an interpreter of its own; what it calls between the two lines on AFTER_CREATE is counted apart.
HOST = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nautilus_kernel.h"
int main(int count, char **words)
{
    nautilus_options options = {1, 1 << 16, 1 << 10, 1, 1 << 16};
    FILE *file = fopen(words[1], "rb");
    static nautilus_message messages[20000];
    static nautilus_report reports[1 << 16];
    uint32_t n = (uint32_t)fread(messages, sizeof(nautilus_message), 20000, file), got = 0;
    void *engine = engine_create(&options);
    if (!engine)
        return 2;
    fflush(stdout);
    setenv("AFTER_CREATE", "1", 1);
    for (uint32_t at = 0; at < n; at += 1000) {
        engine_process(engine, messages + at, n - at < 1000 ? n - at : 1000);
        got += engine_read(engine, reports + got, (1 << 16) - got);
    }
    unsetenv("AFTER_CREATE");
    fwrite(reports, sizeof(nautilus_report), got, stdout);
    fflush(stdout);
    engine_destroy(engine);
    (void)count;
    return 0;
}
"""


def flow(count: int = 20_000, seed: int = 5) -> np.ndarray:
    """Orders around a price, cancels and replaces of any of them, so that a third of all meets something."""
    rng = np.random.default_rng(seed)
    messages = np.zeros(count, MESSAGE)
    messages["kind"] = rng.choice((1, 1, 2, 3), count)
    messages["order_id"] = np.where(messages["kind"] == 1, np.arange(1, count + 1), rng.integers(1, count, count))
    messages["price"] = 1000 + rng.normal(0, 20, count).astype(int)
    messages["quantity"] = rng.integers(1, 100, count)
    messages["side"] = rng.integers(1, 3, count)
    messages["order_type"] = 1
    messages["time_in_force"] = rng.choice((1, 1, 1, 4, 5), count)
    messages["tag"] = np.arange(count)
    return messages


def expected(messages: np.ndarray) -> np.ndarray:
    out = np.zeros(8 * len(messages), REPORT)
    done, written = Matcher().process(messages, out)
    assert done == len(messages)
    return out[:written]


@pytest.fixture(scope="module")
def shared_object(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("kernel") / "libnautilus_kernel.so"
    subprocess.run(
        [
            "make",
            "--no-print-directory",
            "-f",
            ROOT / "Makefile",
            "kernel-so-at",
            f"SO={target}",
            f"py={sys.executable}",
        ],
        cwd=ROOT,
        check=True,
    )
    return target


@pytest.mark.long
def test_reports_are_those_of_the_python_face(shared_object):
    engine = ctypes.CDLL(str(shared_object))
    engine.engine_create.restype = ctypes.c_void_p
    for name in ("engine_process", "engine_read", "engine_destroy"):
        getattr(engine, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32][
            : 1 if "des" in name else 3
        ]
    options = np.array([(1, 1 << 16, 1 << 10, 1, 1 << 16)], "u4,u4,u4,u4,u8")
    handle = engine.engine_create(options.ctypes.data_as(ctypes.c_void_p))
    assert handle
    messages, found = flow(), []
    out = np.zeros(5000, REPORT)
    for at in range(0, len(messages), 1000):
        part = messages[at : at + 1000]
        engine.engine_process(handle, part.ctypes.data, len(part))
        while got := engine.engine_read(handle, out.ctypes.data, len(out)):
            found.append(out[:got].copy())
    engine.engine_destroy(handle)
    assert np.array_equal(np.concatenate(found), expected(messages))


@pytest.mark.long
def test_a_full_ring_waits_for_its_reader_and_loses_nothing(shared_object):
    """The reader is another thread; the ring has room for 64 of some 30,000 reports."""
    engine = ctypes.CDLL(str(shared_object))
    engine.engine_create.restype = ctypes.c_void_p
    options = np.array([(1, 1 << 16, 1 << 10, 1, 64)], "u4,u4,u4,u4,u8")
    handle = ctypes.c_void_p(engine.engine_create(options.ctypes.data_as(ctypes.c_void_p)))
    messages = flow()
    wanted = expected(messages)
    found = np.zeros(len(wanted), REPORT)

    def read() -> None:
        got = 0
        while got < len(found):
            place = ctypes.c_void_p(found.ctypes.data + got * REPORT.itemsize)
            got += engine.engine_read(handle, place, ctypes.c_uint32(len(found) - got))

    reader = threading.Thread(target=read)
    reader.start()
    engine.engine_process(handle, messages.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(len(messages)))
    reader.join()
    engine.engine_destroy(handle)
    assert np.array_equal(found, wanted)


@pytest.mark.long
def test_no_python_function_is_reached_after_engine_create(shared_object, tmp_path):
    """Each Python function that the object can call is led to a counter of its own first, between it and libpython."""
    undefined = subprocess.run(["nm", "-D", "-u", shared_object], capture_output=True, text=True, check=True).stdout
    names = sorted({word for word in undefined.split() if PYTHON.fullmatch(word)})
    assert len(names) > 50, "the generated file holds the Python face, so it must need libpython"
    functions = [
        name for name in names if not name.startswith(("PyExc_", "_Py_")) and not name.endswith(("_Type", "Struct"))
    ]
    (tmp_path / "count.c").write_text(
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        "static unsigned long before, after;\n"
        'void count(void) { if (getenv("AFTER_CREATE")) after++; else before++; }\n'
        "void *find(const char *name) { return dlsym(RTLD_NEXT, name); }\n"
        "__attribute__((destructor)) static void say(void)\n"
        '{ fprintf(stderr, "before %lu after %lu\\n", before, after); }\n'
        + "".join(
            f"__attribute__((naked)) void {name}(void) {{ __asm__ volatile("
            '"push %rdi\\n push %rsi\\n push %rdx\\n push %rcx\\n push %r8\\n push %r9\\n push %rax\\n"'
            '"movq %xmm0, %r11\\n push %r11\\n sub $8, %rsp\\n"'
            f'"lea .Lname_{name}(%rip), %rdi\\n call enter@PLT\\n"'
            '"add $8, %rsp\\n pop %r11\\n movq %r11, %xmm0\\n mov %rax, %r11\\n"'
            '"pop %rax\\n pop %r9\\n pop %r8\\n pop %rcx\\n pop %rdx\\n pop %rsi\\n pop %rdi\\n jmp *%r11\\n"'
            f'".section .rodata\\n .Lname_{name}: .asciz \\"{name}\\"\\n .text\\n"); }}\n'
            for name in functions
        )
        + "void *enter(const char *name) { count(); return find(name); }\n"
    )
    (tmp_path / "host.c").write_text(HOST)
    include, library = ROOT / "nautilus/core", sysconfig.get_config_var("LIBDIR")
    subprocess.run(
        ["gcc", "-O1", "-w", "-shared", "-fPIC", "count.c", "-o", "libcount.so", "-ldl"], cwd=tmp_path, check=True
    )
    subprocess.run(
        ["gcc", "-O1", f"-I{include}", "host.c", shared_object, f"-Wl,-rpath,{shared_object.parent}",
         f"-Wl,-rpath,{library}", f"-Wl,-rpath-link,{library}", "-o", "host"],
        cwd=tmp_path,
        check=True,
    )  # fmt: skip
    messages = flow()
    messages.tofile(tmp_path / "messages")
    ran = subprocess.run(
        [tmp_path / "host", tmp_path / "messages"],
        env={**os.environ, "LD_PRELOAD": str(tmp_path / "libcount.so")},
        capture_output=True,
        check=True,
    )
    before, after = map(int, re.search(rb"before (\d+) after (\d+)", ran.stderr).groups())
    assert before > 50
    assert after == 0
    assert np.array_equal(np.frombuffer(ran.stdout, REPORT), expected(messages))
