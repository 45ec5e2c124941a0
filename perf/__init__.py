"""Benchmarks: `python -m perf list`, `python -m perf run NAME`. None of them is a test; each checks its own result."""
