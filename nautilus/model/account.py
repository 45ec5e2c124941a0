"""Accounts of the trading core."""

from __future__ import annotations

from nautilus.model.enums import AccountFlag, CommandKind
from nautilus.model.ids import MAX_ID_32, check_id
from nautilus.model.message import Message
from nautilus.model.records import Records, command_array, command_row


class Account(Message, frozen=True):
    """An account. Exempt ones have no limits and no positions: they stand for a recorded market."""

    account_id: int
    name: str = ""
    flags: AccountFlag = AccountFlag(0)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id", MAX_ID_32, self.name)

    def to_commands(self) -> Records:
        """The ACCOUNT command, as a COMMAND array of one."""
        return command_array(command_row(kind=CommandKind.ACCOUNT, account_id=self.account_id, flags=self.flags))
