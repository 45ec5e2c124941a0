"""The kernel and its journal together: what is written gives back the kernel, also after damage."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from nautilus.core import COMMAND, EVENT, CommandKind, Kernel, KernelError
from nautilus.core.crc32c import crc32c
from nautilus.core.journal import HashRecord, Journal, JournalError, JournalReader, verify
from tests.kit import builders, flow
from tests.kit.builders import BUY, new
from tests.kit.twin import TwinKernel

SIZES = {"capacity": 64, "closed_capacity": 16}


def opened(path: Path | None) -> Kernel:
    return Kernel(instruments=flow.instruments(), accounts=flow.accounts(), journal=path, huge_pages=False, **SIZES)


def hashes(kernel: Kernel) -> tuple[int, ...]:
    counts = (kernel.last_sequence, kernel.last_event_sequence, kernel.next_timer_ns, kernel.now_ns)
    return (kernel.state_hash(), kernel.event_hash(), kernel.journal_hash(), *counts)


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.journal"))


@pytest.fixture(scope="module")
def batches() -> list[np.ndarray]:
    """Twenty batches; later ones aim at orders that earlier ones left open."""
    twin = TwinKernel(instruments=flow.instruments(), accounts=flow.accounts(), **SIZES)
    source, drawn = flow.Flow(21), []
    for _ in range(20):
        drawn.append(source.draw(50, list(twin.orders)))
        twin.process(drawn[-1])
    return drawn


def test_journalled_kernel_gives_the_same_events_as_one_without(tmp_path: Path, batches: list[np.ndarray]) -> None:
    with_journal, without = opened(tmp_path / "journal"), opened(None)
    for batch in batches:
        assert with_journal.process(batch).tobytes() == without.process(batch).tobytes()
    assert hashes(with_journal) == hashes(without)
    with_journal.close()


def test_replaying_the_journal_alone_gives_the_same_events_and_hashes(
    tmp_path: Path, batches: list[np.ndarray]
) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    events = [kernel.process(batch) for batch in batches]
    expected = hashes(kernel)
    kernel.close()
    replayed: list[np.ndarray] = []
    assert hashes(Kernel.replay(path, on_events=replayed.append)) == expected
    set_up = len(flow.instruments()) + len(flow.accounts())
    assert np.concatenate(replayed)[set_up:].tobytes() == np.concatenate(events).tobytes()


def test_journal_holds_the_commands_as_sequenced(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    for batch in batches:
        kernel.process(batch)
    kernel.close()
    read = np.concatenate([item for item in JournalReader(path) if isinstance(item, np.ndarray)])
    assert read["sequence"].tolist() == list(range(1, kernel.last_sequence + 1))
    assert np.all(np.diff(read["now_ns"]) >= 0)
    given = np.concatenate([flow.instruments(), flow.accounts(), *batches])
    read = read.copy()
    read["sequence"], read["now_ns"] = given["sequence"], given["now_ns"]
    assert read.tobytes() == given.tobytes()
    twin = TwinKernel(accounts=(), **SIZES)
    twin.process(given)
    assert twin.journal_hash() == kernel.journal_hash()


def test_opened_journal_goes_on_where_it_ended(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    reference, kernel = opened(None), opened(path)
    for number, batch in enumerate(batches):
        if number % 5 == 4:
            kernel.close()
            kernel = Kernel.open(path)
        assert kernel.process(batch).tobytes() == reference.process(batch).tobytes()
        assert hashes(kernel) == hashes(reference)
    kernel.close()


def test_kernel_that_vanished_without_closing_is_found_whole(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    for batch in batches[:7]:
        kernel.process(batch)
    expected = hashes(kernel)
    del kernel  # no close: what process returned is written all the same
    again = Kernel.open(path)
    assert hashes(again) == expected
    again.close()


def test_checkpoint_shortens_the_replay_and_changes_nothing(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    for number, batch in enumerate(batches):
        kernel.process(batch)
        if number == 12:
            kernel.checkpoint()
            reached = kernel.last_event_sequence
    expected = hashes(kernel)
    kernel.close()
    short: list[np.ndarray] = []
    full: list[np.ndarray] = []
    assert hashes(Kernel.replay(path, on_events=short.append)) == expected
    assert hashes(Kernel.replay(path, on_events=full.append, snapshots=False)) == expected
    assert np.concatenate(short)["sequence"][0] == reached + 1
    assert np.concatenate(full)["sequence"][0] == 1


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_cut_journal_gives_the_kernel_of_its_longest_valid_prefix(
    tmp_path: Path, batches: list[np.ndarray], kept: float
) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    for batch in batches:
        kernel.process(batch)
    written = kernel.last_sequence
    kernel.close()
    (segment,) = segments(path)
    used = len(segment.read_bytes().rstrip(b"\0"))
    cut = 4096 + int((used - 4096) * kept)
    with segment.open("r+b") as file:
        file.truncate(cut)
    again = Kernel.open(path)
    assert again.recovery is not None
    assert 0 < again.last_sequence < written
    reference = TwinKernel(accounts=(), **SIZES)
    given = np.concatenate([flow.instruments(), flow.accounts(), *batches])
    reference.process(given[: again.last_sequence])
    assert again.state_hash() == reference.state_hash()
    assert again.event_hash() == reference.event_hash()
    events = again.process(given[again.last_sequence :])
    assert events.tobytes() == reference.process(given[reference.last_sequence :]).tobytes()
    again.close()


def test_flipped_bit_ends_the_replay_before_it(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    for batch in batches:
        kernel.process(batch)
    kernel.close()
    (segment,) = segments(path)
    data = bytearray(segment.read_bytes())
    at = 4096 + (len(data.rstrip(b"\0")) - 4096) // 2
    data[at] ^= 0x10
    segment.write_bytes(data)
    report = verify(path)
    assert not report.valid
    with pytest.raises(JournalError):
        Kernel.replay(path)
    partial = Kernel.replay(path, strict=False)
    assert partial.last_sequence == report.last_sequence > 0
    reference = TwinKernel(accounts=(), **SIZES)
    reference.process(np.concatenate([flow.instruments(), flow.accounts(), *batches])[: partial.last_sequence])
    assert partial.state_hash() == reference.state_hash()


def test_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    with pytest.raises(JournalError):
        Kernel.open(path)
    kernel.close()


def test_kernel_does_not_take_a_journal_that_ends_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    kernel.process(new(1, BUY, 100, 1))
    kernel.close()
    with pytest.raises(KernelError, match="expected a journal that ends at command 0"):
        opened(path)
    Kernel.open(path).close()


def test_closed_kernel_can_still_be_looked_at(tmp_path: Path) -> None:
    kernel = opened(tmp_path / "journal")
    kernel.process(new(1, BUY, 100, 1))
    kernel.close()
    assert kernel.depth(1)[0]["price_ticks"].tolist() == [100]


def test_clean_stop_leaves_the_running_hashes_for_a_replay_to_compare(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    kernel.process(new(1, BUY, 100, 1))
    expected = HashRecord(kernel.last_sequence, kernel.last_event_sequence, kernel.event_hash(), kernel.journal_hash())
    kernel.close()
    Kernel.open(path).close()  # nothing was taken: nothing to compare
    marks = [item for item in JournalReader(path) if isinstance(item, HashRecord)]
    assert marks == [expected]
    assert verify(path).clean


def test_small_outputs_write_every_command_before_its_events(tmp_path: Path, batches: list[np.ndarray]) -> None:
    path = tmp_path / "journal"
    kernel, out = opened(path), np.zeros(5, EVENT)
    rest = np.concatenate(batches[:3])
    while len(rest):
        consumed, count = kernel.process_into(rest, out)
        rest = np.ascontiguousarray(rest[consumed:])
        on_disk = JournalReader(path, strict=False)
        last = max(int(item["sequence"][-1]) for item in on_disk if isinstance(item, np.ndarray) and len(item))
        if count:
            assert last >= out[count - 1]["command_sequence"]
    kernel.close()


def test_journal_object_carries_its_policy_and_size(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", policy="disk", segment_bytes=1 << 18, capacity=64, closed_capacity=16)
    kernel = Kernel(instruments=builders.instrument(1), journal=journal, huge_pages=False, **SIZES)
    for number in range(1, 12_001, 500):
        commands = np.concatenate([new(order, BUY, 100, 1, flags=1) for order in range(number, number + 500)])
        commands[1::2] = np.concatenate([builders.cancel(order) for order in range(number, number + 500, 2)])
        kernel.process(commands)
    expected = hashes(kernel)
    kernel.close()
    assert len(segments(tmp_path / "journal")) > 2, "the journal rolled"
    again = Kernel.open(tmp_path / "journal")
    assert hashes(again) == expected
    again.close()


def change_hash(segment: Path, command_sequence: int) -> None:
    """Another event hash in the hash record after this command, with every checksum made to fit again."""
    data = bytearray(segment.read_bytes())
    chain, offset, changed = struct.unpack_from("<I", data, 124)[0], 4096, 0
    while offset < len(data) and data[offset + 4]:
        _, kind, length = struct.unpack_from("<IHH", data, offset)
        end = offset + 8 + length
        if kind == 2 and struct.unpack_from("<q", data, offset + 8)[0] == command_sequence:
            data[offset + 24] ^= 1
            changed += 1
        chain = crc32c(bytes(data[offset + 4 : end]), chain)
        struct.pack_into("<I", data, offset, chain)
        offset = end
    assert changed == 1
    segment.write_bytes(data)


def test_replay_that_gives_other_events_names_the_first_differing_block(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    kernel = opened(path)
    many = np.zeros(3 * 65_536, COMMAND)
    many["kind"], many["now_ns"] = CommandKind.MARK, np.arange(len(many))
    many["instrument_id"], many["price_ticks"] = 1, 1 + np.arange(len(many)) % 1_000
    many["kind"][::100] = CommandKind.CANCEL
    kernel.process(many)
    kernel.close()
    Kernel.replay(path)
    change_hash(segments(path)[0], 2 * 65_536)
    assert verify(path).valid, "the bytes are sound, only what they say is not true"
    with pytest.raises(KernelError, match="commands 65537 to 131072 give event hash") as refusal:
        Kernel.replay(path)
    assert refusal.value.code == "REPLAY_DIFFERS"
    with pytest.raises(KernelError, match="65537"):
        Kernel.open(path)
