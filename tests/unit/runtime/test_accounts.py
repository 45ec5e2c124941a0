"""Accounts of strategies: each stays with the strategy that had it first, for as long as the data last."""

from pathlib import Path

import pytest

from nautilus.model.errors import InternalError
from nautilus.runtime.accounts import Accounts, AccountTakenError


def test_the_same_strategies_have_the_same_accounts_again(tmp_path: Path) -> None:
    Accounts(tmp_path).claim(1, ["quoting", "momentum"])
    Accounts(tmp_path).claim(1, ["quoting"])
    Accounts(tmp_path).claim(2, ["momentum"])
    assert Accounts(tmp_path).load() == {1: "quoting", 2: "momentum"}


def test_an_account_of_another_strategy_is_refused_with_one_that_is_free(tmp_path: Path) -> None:
    Accounts(tmp_path).claim(1, ["quoting", "momentum"])
    with pytest.raises(AccountTakenError) as caught:
        Accounts(tmp_path).claim(1, ["momentum"])
    assert caught.value.code == "config.account"
    assert str(caught.value) == (
        f"{tmp_path}/state/accounts.json: account 1 is that of strategy quoting, not of momentum; "
        "expected --set strategy.first_account=2, or another --data"
    )
    with pytest.raises(AccountTakenError, match="first_account=3"):
        Accounts(tmp_path).claim(2, ["mine.py:Mine"])
    assert Accounts(tmp_path).load() == {1: "quoting", 2: "momentum"}


def test_a_file_may_lie_elsewhere_later(tmp_path: Path) -> None:
    Accounts(tmp_path).claim(1, ["mine.py:Mine"])
    Accounts(tmp_path).claim(1, ["/elsewhere/mine.py:Mine"])
    with pytest.raises(AccountTakenError):
        Accounts(tmp_path).claim(1, ["mine.py:Other"])


def test_a_claim_of_a_start_that_failed_is_taken_back(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    accounts.claim(1, ["mine.py:Absent"])
    accounts.withdraw()
    Accounts(tmp_path).claim(1, ["quoting"])


def test_a_file_that_cannot_be_read_is_no_licence(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "accounts.json").write_text("{")
    with pytest.raises(InternalError, match="strategies by account"):
        Accounts(tmp_path).claim(1, ["quoting"])
