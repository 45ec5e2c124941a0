"""Accounts of the trading core."""

from __future__ import annotations

from nautilus.model.enums import AccountFlag, CommandKind, SelfMatch
from nautilus.model.errors import ModelError
from nautilus.model.ids import MAX_ID_16, MAX_ID_32, check_id
from nautilus.model.message import Message
from nautilus.model.records import Records, command_array, command_row


class Account(Message, frozen=True):
    """An account. Exempt ones have no limits and no positions: they stand for a recorded market.

    Parameters
    ----------
    flags
        EXEMPT, RECORDED, FIFO: docs/kernel-controls.md.
    self_match
        What happens where an order of it would meet one of its own.
    self_match_group
        Accounts of one group count as one there; 0: the account alone.

    Raises
    ------
    ModelError
        An id or group out of range, or a flag that is none.
    """

    account_id: int
    name: str = ""
    flags: AccountFlag = AccountFlag(0)
    self_match: SelfMatch = SelfMatch.CANCEL_NEWEST
    self_match_group: int = 0

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id", MAX_ID_32, self.name)
        if not 0 <= self.self_match_group <= MAX_ID_16:
            raise ModelError(
                f"self_match_group {self.self_match_group}",
                where=f"account {self.account_id}",
                expected=f"0 to {MAX_ID_16}",
            )
        if int(self.flags) & ~sum(AccountFlag):
            raise ModelError(
                f"flags {int(self.flags)}", where=f"account {self.account_id}", expected="EXEMPT, RECORDED, FIFO"
            )

    def to_commands(self) -> Records:
        """The ACCOUNT command, as a COMMAND array of one."""
        return command_array(
            command_row(
                kind=CommandKind.ACCOUNT,
                account_id=self.account_id,
                flags=self.flags,
                order_type=self.self_match,
                group_id=self.self_match_group,
            )
        )
