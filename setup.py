"""Extensions only: every `nautilus/core/*.pyx` is one extension. All else is in pyproject.toml.

Environment: `NAUTILUS_DEBUG=1` builds with bounds checks and assertions; `NAUTILUS_SANITIZE=address` with gcc's
AddressSanitizer and UBSan, `NAUTILUS_SANITIZE=fuzzer` with clang's and the edge counters that libFuzzer reads;
`NAUTILUS_ONLY=ring,pool` builds these modules alone; `NAUTILUS_ONLY=none` builds none (the editable install, beside
extensions built in place).
"""

import multiprocessing
import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("NAUTILUS_DEBUG") == "1"
SANITIZE = os.environ.get("NAUTILUS_SANITIZE", "")
ONLY = set(filter(None, os.environ.get("NAUTILUS_ONLY", "").split(",")))
ROOT = Path(__file__).parent

DIRECTIVES = {
    "language_level": 3,
    "freethreading_compatible": False,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
}
COMPILE = ["-O1", "-g", "-UNDEBUG", "-DNAUTILUS_DEBUG=1"] if DEBUG else ["-O3", "-g0", "-DNDEBUG"]
LINK: list[str] = []
if SANITIZE:
    # The translated C is that of the release build: what is checked is what runs. A finding ends the process.
    # Alignment is left out: the recorded formats are packed, and both kinds of processor this runs on read them so.
    CHECKS = {"address": "address,undefined", "fuzzer": "address,undefined,fuzzer-no-link"}[SANITIZE]
    COMPILE = ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", "-Wno-unknown-warning-option"]
    LINK = [f"-fsanitize={CHECKS}", "-fno-sanitize=alignment", "-fno-sanitize-recover=undefined"]
    COMPILE += LINK
COMPILE += ["-Wno-unused-function", "-Wno-unreachable-code", "-Wno-attributes", "-fno-strict-aliasing"]
# Cython counts a C range up to a C int in the type of the variable.
COMPILE += ["-Wno-sign-compare"]
# Vectors of two or four words cost the matching more to put together than they save. Sums that others repeat to the
# bit are not to be fused with products.
UNFUSED = ["-ffp-contract=off"]
OWN = {"market": ["-fno-tree-vectorize", "-fno-tree-slp-vectorize"], "vpin": UNFUSED, "indicators": UNFUSED}


def processes() -> int:
    """Processes that translate Cython at once; 0 (in this one) where the system has no semaphores (no /dev/shm)."""
    try:
        multiprocessing.Lock()
    except OSError:
        return 0
    return os.cpu_count() or 1


extensions = [
    Extension(
        f"nautilus.core.{path.stem}",
        [str(path.relative_to(ROOT))],
        include_dirs=[numpy.get_include(), "nautilus/core"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=COMPILE + ([] if SANITIZE else OWN.get(path.stem, [])),
        extra_link_args=LINK,
        libraries=["rt", "pthread"],
        depends=["setup.py"],
    )
    for path in sorted(ROOT.glob("nautilus/core/*.pyx"))
    if not ONLY or path.stem in ONLY
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives=DIRECTIVES,
        build_dir="build/debug/cython" if DEBUG else "build/cython",
        nthreads=processes() if len(extensions) > 1 else 0,
        quiet=True,
    )
)
