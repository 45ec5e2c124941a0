"""What is counted of the audit log: what is in it, and what is lost."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

from nautilus.core.counters import Counters
from nautilus.runtime.access_settings import AccessConfig
from nautilus.runtime.auditing import Recorder, record_kill
from nautilus.store.audit import AuditLog, read

NOW_NS = 1_700_000_000_000_000_000


def test_what_is_lost_is_not_counted_as_written(tmp_path, monkeypatch):
    counters = Counters()
    recorders = []
    log = AuditLog(
        tmp_path / "audit", tmp_path / "anchors", "risk", NOW_NS, on_lost=lambda error: recorders[0].lost(error)
    )
    recorders.append(Recorder(log, counters))
    recorder = recorders[0]

    def full(descriptor, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    while not log.lost:
        recorder.say("signal", "USR2", b"/kill-switch", 200)
    recorder.say("signal", "USR2", b"/kill-switch", 200)
    found = counters.snapshot()
    assert found["audit.lost"] == log.lost == 2
    assert found["audit.records"] == sum(record.kind == "call" for record in read(tmp_path / "audit", "risk"))
    log.close(NOW_NS)
    recorder.say("signal", "USR2", b"/kill-switch", 200)
    assert counters.snapshot()["audit.lost"] == 3


def plan_of(place):
    return SimpleNamespace(data=str(place), config=lambda section, kind: AccessConfig())


def test_a_kill_switch_by_signal_is_recorded(tmp_path):
    counters = Counters()
    record_kill(plan_of(tmp_path), "core", counters)
    (call,) = (record for record in read(tmp_path / "audit", "core") if record.kind == "call")
    assert (call.principal, call.method, call.target) == ("signal", "SIGUSR2", b"kill-switch")
    assert counters.snapshot()["audit.records"] == 1


def test_a_kill_switch_by_signal_goes_on_where_the_log_cannot_be_had(tmp_path, caplog):
    Path(tmp_path, "audit").touch()
    counters = Counters()
    record_kill(plan_of(tmp_path), "core", counters)
    assert counters.snapshot()["audit.lost"] == 1
    assert "the kill switch by signal is not in the audit log" in caplog.text
