"""Which strategy has which account of a data directory: none ever takes over what another one left there.

Position, profit, open orders and a stop by the risk engine belong to an account for as long as the data last. So an
account stays with the strategy that had it first, also where the file of the strategy engine's state is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from nautilus.model.errors import ConfigError, InternalError
from nautilus.runtime.files import write_atomically


class AccountTakenError(ConfigError):
    """A strategy would trade in an account of another one."""

    code = "config.account"


class Accounts:
    """The accounts of a data directory, for the supervisor that holds its lock."""

    def __init__(self, data: Path) -> None:
        self.path = data / "state" / "accounts.json"
        self._before: dict[int, str] | None = None

    def load(self) -> dict[int, str]:
        """Strategies by account; InternalError where the file cannot be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[int, str])
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError(str(error), where=str(self.path), expected="strategies by account") from None

    def claim(self, first: int, strategies: Sequence[str]) -> None:
        """Give the strategies, by their names on the command line, the accounts from `first` on.

        Raises
        ------
        AccountTakenError
            Another strategy has one of them.
        """
        known = self.load()
        names = [_identity(name) for name in strategies]
        for account_id, name in enumerate(names, first):
            if known.get(account_id, name) != name:
                raise AccountTakenError(
                    f"account {account_id} is that of strategy {known[account_id]}, not of {name}",
                    where=str(self.path),
                    expected=f"--set strategy.first_account={_free(known, names)}, or another --data",
                )
        wanted = {**known, **dict(enumerate(names, first))}
        if wanted != known:
            self._before = known
            self._write(wanted)

    def withdraw(self) -> None:
        """Take the last claim back: the platform did not come up."""
        if self._before is not None:
            self._write(self._before)
            self._before = None

    def _write(self, accounts: dict[int, str]) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path, msgspec.json.encode(accounts), durable=True)


def _identity(name: str) -> str:
    """A strategy's name wherever its file lies and whatever directory the command was called in."""
    place, colon, class_name = name.rpartition(":")
    return f"{Path(place).name}:{class_name}" if colon and place.endswith(".py") else name


def _free(known: dict[int, str], names: Sequence[str]) -> int:
    """The lowest first account with which these strategies disturb no other one."""
    first = 1
    while any(known.get(account_id, name) != name for account_id, name in enumerate(names, first)):
        first += 1
    return first
