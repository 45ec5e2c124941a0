"""Runs a command and prints what it took, as JSON; a small process of its own.

Linux counts the memory of the process that forks into the peak of the one that it becomes: forked from a bench with
hundreds of MiB, every command would look as large.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=out, stderr=errors)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    texts = []
    for file in (out, errors):
        file.seek(0)
        texts.append(file.read().decode())
answer = {"seconds": seconds, "peak_mib": usage.ru_maxrss / 1024, "code": process.returncode}
print(json.dumps({**answer, "out": texts[0], "errors": texts[1]}))
