"""Calls into the C library that fail or are written down, for a script in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *name)
{
    static int calls;  /* FAIL=name:n,error of the n-th call (and those behind it: n+) */
    const char *wish = getenv("FAIL");
    size_t length = strlen(name);
    if (!wish || strncmp(wish, name, length) || wish[length] != ':')
        return 0;
    char *end;
    long wanted = strtol(wish + length + 1, &end, 10);
    int later = *end == '+';
    calls++;
    return calls == wanted || (later && calls > wanted) ? atoi(end + later + 1) : 0;
}

static void tell(const char *call, int fd, const char *path)
{
    const char *trace = getenv("TRACE");
    char link[64], place[4096], line[4200];
    if (!trace)
        return;
    if (fd >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, place, sizeof place - 1);
        place[size > 0 ? size : 0] = 0;
        path = place;
    }
    int out = open(trace, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int size = snprintf(line, sizeof line, "%s %s\\n", call, path);
    if (write(out, line, size) < 0)
        abort();
    close(out);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(name, call, arguments, fd, path, ...)  \\
    int name arguments  \\
    {  \\
        int error = fails(call);  \\
        tell(call, fd, path);  \\
        if (error) {  \\
            errno = error;  \\
            return -1;  \\
        }  \\
        return REAL(name)(__VA_ARGS__);  \\
    }
WRAP(fdatasync, "fdatasync", (int fd), fd, 0, fd)
WRAP(fsync, "fsync", (int fd), fd, 0, fd)
WRAP(renameat, "rename", (int a, const char *from, int b, const char *to), -1, to, a, from, b, to)

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument)
{
    int error = fails("pthread_create");
    return error ? error : REAL(pthread_create)(thread, how, start, argument);
}
"""


def run(place: Path, script: str, *, fail: str = "", trace: Path | None = None) -> list[str]:
    """Run a script; its words. fail: ``fdatasync:3,5`` is error 5 of the third call, ``3+,5`` of the later ones too."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc builds what stands in for the C library's calls")
    if "san" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("a sanitizer's runtime has to come first, and stands in front of these calls itself")
    place.mkdir(exist_ok=True)
    source, library = place / "preload.c", place / "preload.so"
    source.write_text(SOURCE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={
            **os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1",
            **({"FAIL": fail} if fail else {}), **({"TRACE": str(trace)} if trace else {}),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def traced(place: Path, script: str) -> list[tuple[str, str]]:
    """Run a script; its calls of fsync, fdatasync and rename: (call, path)."""
    trace = place / "trace"
    run(place, script, trace=trace)
    return [(call, path) for call, path in (line.split(" ", 1) for line in trace.read_text().splitlines())]
