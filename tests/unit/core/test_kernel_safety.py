"""What must not hurt the kernel: hostile snapshots, threads, forks, a lost journal, refused set-up."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import COMMAND, EVENT, Kernel, KernelError, LimitKind
from nautilus.core.journal import Journal, JournalError, verify
from tests.kit import builders, flow
from tests.kit.builders import BUY, GTD, SELL, batch, new
from tests.kit.effort import stride
from tests.kit.full_disk import largest_file

HOSTILE = (0, -1, 1, 2, 3, 255, 65_536, 1 << 31, 1 << 32, 1 << 40, 1 << 50, 1 << 61, (1 << 63) - 1, -(1 << 63))


def opened(journal: Journal | Path | None = None, limits: np.ndarray | None = None) -> Kernel:
    first = flow.instruments(), limits
    return Kernel(*first, 64, journal, accounts=flow.accounts(), closed_capacity=16, huge_pages=False)


def hashes(kernel: Kernel) -> tuple[int, ...]:
    return kernel.state_hash(), kernel.event_hash(), kernel.journal_hash()


def busy_kernel() -> Kernel:
    """Every section of its snapshot holds something."""
    kernel = opened()
    kernel.process(
        batch(
            builders.limit(LimitKind.MESSAGE_RATE, 5, window_ns=1_000),
            builders.limit(LimitKind.PRICE_COLLAR, 500, account_id=2),
            builders.mark(100),
            new(1, BUY, 100, 5, source_id=3, source_sequence=9),
            new(2, SELL, 100, 2, account_id=2),
            new(3, BUY, 99, 4, time_in_force=GTD, expire_ns=50),
            new(4, BUY, 98, 4),
            new(5, SELL, 120, 10, account_id=3, instrument_id=2),
            builders.cancel(4),
        )
    )
    return kernel


def test_a_snapshot_with_any_word_changed_is_refused_or_taken_and_never_hurts() -> None:
    """Whatever is taken over must survive further commands; a division by a step of zero would end the process."""
    words = np.frombuffer(busy_kernel().snapshot(), "<i8")
    commands = flow.Flow(5).draw(40, [(1, 1), (1, 3)])
    taken = refused = tried = 0
    for at in range(0, len(words), stride(3)):
        for value in HOSTILE:
            changed = words.copy()
            changed[at] = value
            if at == 7 and value >= 1 << 20:
                continue  # a sound capacity that asks for much address space
            kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
            try:
                kernel.restore(changed.tobytes())
            except (ValueError, MemoryError) as error:
                refused += str(error).startswith("snapshot: ")
            else:
                kernel.process(commands)
                kernel.snapshot()
                taken += 1
            tried += 1
    assert refused + taken == tried
    assert refused > taken > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_failed_restore_leaves_the_state_as_it_was(share: float) -> None:
    kernel, sound = opened(), busy_kernel().snapshot()
    before = hashes(kernel), kernel.snapshot()
    with pytest.raises(ValueError, match="snapshot"):
        kernel.restore(sound[: int(len(sound) * share) // 8 * 8])
    assert (hashes(kernel), kernel.snapshot()) == before


def test_a_limit_of_no_message_in_a_snapshot_is_refused() -> None:
    words = np.frombuffer(busy_kernel().snapshot(), "<i8").copy()
    at = next(i for i in range(len(words)) if words[i : i + 5].tolist() == [LimitKind.MESSAGE_RATE, 0, 0, 5, 1_000])
    words[at + 3] = 0
    with pytest.raises(ValueError, match="limit: expected 1 to"):
        opened().restore(words.tobytes())


def test_kernels_in_threads_do_not_disturb_each_other() -> None:
    commands = [flow.Flow(seed).draw(4_000, []) for seed in (1, 2)]
    alone = []
    for each in commands:
        kernel = opened()
        kernel.process(each)
        alone.append(hashes(kernel))
    kernels = [opened(), opened()]

    def run(kernel: Kernel, each: np.ndarray) -> None:
        for part in np.array_split(each, 40):
            kernel.process(np.ascontiguousarray(part))

    threads = [threading.Thread(target=run, args=pair) for pair in zip(kernels, commands, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [hashes(kernel) for kernel in kernels] == alone


def test_a_second_thread_is_refused_while_a_batch_runs_without_the_interpreter_lock() -> None:
    kernel = Kernel(instruments=builders.instrument(1), accounts=[1], capacity=1 << 16, huge_pages=False)
    commands = np.concatenate([np.repeat(new(1, BUY, 50, 1), 200_000)])
    commands["order_id"] = np.arange(1, len(commands) + 1)
    commands["price_ticks"] = np.arange(len(commands)) % 500 + 1
    refused: list[str] = []
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            for call in (kernel.state_hash, kernel.snapshot, lambda: kernel.process(new(9, BUY, 1, 1, account_id=7))):
                try:
                    call()
                except KernelError as error:
                    refused.append(error.code)

    thread = threading.Thread(target=disturb)
    thread.start()
    done = 0
    while "BUSY" not in refused and done < 20:
        with contextlib.suppress(KernelError):  # the other thread may have been first
            kernel.process(commands)
        done += 1
    over.set()
    thread.join()
    assert set(refused) == {"BUSY"}, "the interpreter lock is let go, and whoever comes meanwhile is told"
    kernel.process(new(1 << 40, BUY, 1, 1))


def test_a_forked_child_cannot_write_into_the_journal_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(journal=path)
    kernel.process(new(1, BUY, 50, 1))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kernel.process(new(2, BUY, 51, 1))
        except OSError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    kernel.process(new(3, BUY, 52, 1))
    expected = hashes(kernel)
    kernel.close()
    assert verify(path).clean
    assert hashes(Kernel.replay(path)) == expected


def test_a_forked_child_goes_on_with_its_copy_of_a_kernel_without_a_journal() -> None:
    kernel = opened()
    before = hashes(kernel)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(kernel.process(new(1, BUY, 50, 1))) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hashes(kernel) == before


def test_no_command_is_taken_after_the_journal_was_closed(tmp_path: Path) -> None:
    kernel = opened(journal=tmp_path / "journal")
    kernel.process(new(1, BUY, 50, 1))
    kernel.close()
    before = hashes(kernel)
    with pytest.raises(KernelError, match="its journal was closed") as caught:
        kernel.process(new(2, BUY, 50, 1))
    assert caught.value.code == "STOPPED"
    assert hashes(kernel) == before


def test_no_command_is_taken_after_the_journal_was_closed_behind_its_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", capacity=64, closed_capacity=16)
    kernel = opened(journal=journal)
    journal.close()
    before = hashes(kernel)
    for commands in (new(2, BUY, 50, 1), builders.cancel(1)):
        with pytest.raises(KernelError, match="its journal failed"):
            kernel.process(commands)
    assert hashes(kernel) == before


def test_a_refused_set_up_does_not_touch_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(KernelError, match="set-up command 11") as caught:
        opened(journal=path, limits=builders.limit(LimitKind.PRICE_COLLAR, 1_000_001))
    assert caught.value.code == "SETUP"
    assert not path.exists()
    opened(journal=path).close()


def test_opening_what_is_no_journal_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Kernel.open(tmp_path / "misspelt")
    assert not (tmp_path / "misspelt").exists()
    (tmp_path / "other").mkdir()
    with pytest.raises(JournalError, match="not a journal"):
        Kernel.open(tmp_path / "other")
    assert not any((tmp_path / "other").iterdir())


def test_a_second_journal_is_refused(tmp_path: Path) -> None:
    kernel = opened(journal=tmp_path / "one")
    with pytest.raises(KernelError, match="without a journal"):
        kernel.attach(tmp_path / "two")
    kernel.close()


def test_a_kernel_that_was_never_set_up_says_so() -> None:
    kernel = Kernel.__new__(Kernel)
    for call in (kernel.state_hash, kernel.snapshot, lambda: kernel.process(np.zeros(1, COMMAND))):
        with pytest.raises(KernelError, match="set up"):
            call()


def test_output_that_is_not_handed_out_is_zeroed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", capacity=64, closed_capacity=16)
    kernel = opened(journal=journal)
    journal.append(at(builders.time(1), kernel.last_sequence + 1))  # now the kernel's next one is out of order
    out = np.zeros(4, EVENT)
    with pytest.raises(OSError, match="could not be written"):
        kernel.process_into(new(1, BUY, 50, 1), out)
    assert out.tobytes() == bytes(out.nbytes)
    with pytest.raises(KernelError, match="its journal failed"):
        kernel.process(builders.cancel(1))


def test_no_event_leaves_and_nothing_is_taken_after_a_failed_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(journal=path)
    kernel.process(new(1, BUY, 50, 1))
    acknowledged = hashes(kernel)
    with largest_file(4_096), pytest.raises(OSError, match="could not be written") as caught:
        kernel.process(new(2, BUY, 51, 1))
    assert caught.value.errno == errno.EFBIG
    for commands in (new(3, BUY, 52, 1), builders.cancel(1), np.zeros(0, COMMAND)):
        with pytest.raises(KernelError, match="its journal failed"):
            kernel.process(commands)
    with pytest.raises(KernelError, match="its journal failed"):
        kernel.checkpoint()
    with pytest.raises(OSError, match="large"):
        kernel.close()
    again = Kernel.open(path)
    assert hashes(again) == acknowledged
    assert len(again.process(new(2, BUY, 51, 1))) == 1
    again.close()


def test_a_full_disk_refuses_new_orders_and_takes_cancels_until_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(journal=Journal(path, segment_bytes=16_384, capacity=64, closed_capacity=16))
    number, refused = 1, ""
    with largest_file(16_383):
        while not refused:
            try:
                kernel.process(new(number, BUY, 50, 1, expire_ns=number + 99, time_in_force=GTD))
                number += 1
            except JournalError as error:
                refused = error.code
        assert refused == "journal full"
        assert number > 50
        before = hashes(kernel)
        with pytest.raises(JournalError, match="no room for 2 more commands"):
            kernel.process(batch(builders.cancel(1), new(999, BUY, 50, 1)))
        assert hashes(kernel) == before, "nothing of the batch was taken"
        assert [len(kernel.process(builders.cancel(order))) for order in range(1, 11)] == [1] * 10
        assert kernel.process(builders.kill())["quantity"][-1] == number - 11
    kernel.process(builders.resume())
    kernel.process(new(number, BUY, 50, 1))
    expected = hashes(kernel)
    kernel.close()
    assert hashes(Kernel.replay(path)) == expected


def at(command: np.ndarray, sequence: int) -> np.ndarray:
    command["sequence"] = sequence
    return command


def test_set_up_of_another_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected dtype nautilus\.core\.COMMAND"):
        opened(limits=np.zeros(3, EVENT))
