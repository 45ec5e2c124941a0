from typing import NamedTuple

class AccountState(NamedTuple):
    account_id: int
    now_ns: int
    valued: bool
    missing: tuple[str, ...]
    equity: int | None
    cash: dict[int, int]
    realised: int
    unrealised: int
    fees: int
    gross: int
    bought: int
    sold: int
    cost_value: int
    open_value: int
    credit_used: int | None
    day_base: int | None
    open_orders: int
    flags: int
    self_match: int
    self_match_group: int
