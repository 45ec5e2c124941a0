"""Python face of regions: who a process is, so that pids that come again are told apart."""

from nautilus.core.region cimport process_start


def start_of(int pid):
    """Start time of a process in clock ticks since boot; 0 where there is none (a zombie counts as none)."""
    return process_start(pid)
