"""Counts every malloc and mmap of a child process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.drive import sanitized

ROOT = Path(__file__).parents[2]

# Counts calls by standing in front of the C library's; only `counted` is asked for from Python.
COUNTER = r"""
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);
static volatile long calls;

long counted(void) { return calls; }
void* malloc(size_t size) { __atomic_add_fetch(&calls, 1, 5); return __libc_malloc(size); }
void* calloc(size_t count, size_t size) { __atomic_add_fetch(&calls, 1, 5); return __libc_calloc(count, size); }
void* realloc(void* old, size_t size) { __atomic_add_fetch(&calls, 1, 5); return __libc_realloc(old, size); }
void* aligned_alloc(size_t to, size_t size) { __atomic_add_fetch(&calls, 1, 5); return __libc_memalign(to, size); }
int posix_memalign(void** out, size_t to, size_t size) {
    __atomic_add_fetch(&calls, 1, 5);
    *out = __libc_memalign(to, size);
    return *out == NULL;
}
void* mmap(void* at, size_t size, int access, int flags, int file, off_t offset) {
    __atomic_add_fetch(&calls, 1, 5);
    return (void*)syscall(SYS_mmap, at, size, access, flags, file, offset);
}
void* mmap64(void* at, size_t size, int access, int flags, int file, off_t offset) {
    return mmap(at, size, access, flags, file, offset);
}
"""


def built(folder: Path) -> Path:
    """The counter, to be loaded before all else; the test is skipped where it cannot be had."""
    if sanitized():
        pytest.skip("the sanitizer's allocator stands in front of the C library's already")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and the GNU C library")
    source, library = folder / "counter.c", folder / "counter.so"
    source.write_text(COUNTER)
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    return library


def child(counter: Path, script: str, *arguments: str) -> dict[str, Any]:
    """What a script prints, as JSON, that may ask `ctypes.CDLL(None).counted()` meanwhile."""
    environment = os.environ | {"LD_PRELOAD": str(counter), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
