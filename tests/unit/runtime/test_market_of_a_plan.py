"""What a plan says about its market: what plays, what the core is set up with, whom the hub follows."""

import json

import numpy as np
import pytest

from nautilus.core import COMMAND, Kernel
from nautilus.core.types import CommandKind, EventKind, Side
from nautilus.engines.marketdata import MarketDataEngine
from nautilus.model.errors import ConfigError, VenueError
from nautilus.runtime.market import (
    CLIENT_ACCOUNTS,
    connect,
    hub_config,
    instruments_of,
    market_begin_ns,
    open_market,
    setup_commands,
)
from nautilus.simulation import RecordedSource, SimulatedSource
from nautilus.simulation.market import FIRST_ACCOUNT, INSTRUMENT
from nautilus.simulation.recording import BOOK_ACCOUNT, TAPE_ACCOUNT
from tests.kit import builders, core
from tests.kit.context import RecordingContext
from tests.kit.data import BTCUSDT_PERPETUAL, LOBSTER, recording
from tests.kit.live_host import make_plan, short_directory

PROCESSES = {"marketdata": ("marketdata",)}


def plan(tmp_path, **changes):
    return make_plan(tmp_path, PROCESSES, **changes)


def opened(setup):
    """A kernel that was set up so, and what it refused."""
    kernel = Kernel(accounts=(), huge_pages=False, capacity=1 << 10)
    events = kernel.process(np.frombuffer(bytearray(b"".join(each.row for each in setup)), COMMAND))
    return kernel, events[events["kind"] == EventKind.REJECTED]


def test_the_simulated_market_is_set_up_with_its_agents_and_all_clients(tmp_path):
    made = plan(tmp_path, market="simulated", strategies=("quoting", "momentum"))
    setup = setup_commands(made)
    kernel, refused = opened(setup)
    assert len(refused) == 0
    for account_id in (*CLIENT_ACCOUNTS, FIRST_ACCOUNT):
        assert len(kernel.positions(account_id)) == 0
    assert kernel.best(INSTRUMENT.instrument_id) == (0, 0, 0, 0)
    assert instruments_of(made) == (INSTRUMENT,)
    assert hub_config(made).derive
    source = open_market(made)
    assert isinstance(source, SimulatedSource)
    keys = {(each.kind, each.key) for each in setup}
    assert {(CommandKind.INSTRUMENT, 1), (CommandKind.ACCOUNT, 16), (CommandKind.LIMIT, 0)} < keys
    # Hard limits hold for strategies and for whoever else trades.
    row = builders.new(1, Side.BUY, 600_000, 1 << 30, account_id=16)
    assert kernel.process(row)[0]["kind"] == EventKind.REJECTED


def test_strategies_beyond_the_open_accounts_have_theirs(tmp_path):
    changes = {"strategies": ("quoting",) * 3, "sections": {"strategy": {"first_account": 40}}}
    kernel, _ = opened(setup_commands(plan(tmp_path, **changes)))
    assert len(kernel.positions(42)) == 0
    with pytest.raises(ConfigError, match="accounts 1000 to 1001"):
        setup_commands(plan(tmp_path, strategies=("a", "b"), sections={"strategy": {"first_account": 1000}}))


@pytest.mark.parametrize("name", [BTCUSDT_PERPETUAL, LOBSTER])
def test_a_recording_is_set_up_with_its_own_accounts_and_begins_with_its_first_line(tmp_path, name):
    made = plan(tmp_path, market=str(recording(name)))
    kernel, refused = opened(setup_commands(made))
    assert len(refused) == 0
    assert len(kernel.positions(BOOK_ACCOUNT)) == len(kernel.positions(TAPE_ACCOUNT)) == 0
    assert not hub_config(made).derive
    source = open_market(made)
    assert isinstance(source, RecordedSource)
    assert instruments_of(made) == source.instruments()
    # A first line may be one that waits for others.
    assert 0 <= source.next_ns() - market_begin_ns(made.market) < 100_000_000


def test_without_a_market_clients_trade_among_themselves(tmp_path):
    made = plan(tmp_path, market="none")
    kernel, refused = opened(setup_commands(made))
    assert len(refused) == 0
    assert open_market(made) is None
    assert instruments_of(made) == (INSTRUMENT,)
    assert hub_config(made).derive
    assert len(kernel.process(builders.new(1, Side.BUY, 600_000, 1, account_id=16))) == 1
    with pytest.raises(VenueError, match="no such file"):
        open_market(plan(tmp_path, market=str(tmp_path / "absent.gz")))


def test_the_hub_follows_only_a_core_that_is_there_and_forgets_what_that_does_not_know():
    with short_directory() as directory:
        made = plan(directory)
        hub = MarketDataEngine(hub_config(made), instruments_of(made))
        assert connect(made, hub) is None
        with core.running(directory) as (native, _):
            core.carry_out(core.attach(native), core.OPENING)
            kernel = Kernel(instruments=[INSTRUMENT], accounts=[1], huge_pages=False)
            orders = [builders.new(n, Side.BUY, 600_000, 1, account_id=1) for n in range(1, 30)]
            hub.on_events(kernel.process(np.concatenate(orders)), RecordingContext())
            assert len(hub.depth(1)[0]) == 1
            client = connect(made, hub)
            assert (client.last_sequence, hub.last_sequence) == (0, 0)
            assert len(hub.depth(1)[0]) == 0
            assert json.dumps(hub.state())
            client.close()
        assert connect(made, hub) is None
