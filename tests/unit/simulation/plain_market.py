"""The rules of a recording as a participant in plain lists, from the rules alone: no commands, no core, no accounts."""

from __future__ import annotations

Key = tuple[int, int]  # side 1 or 2, price
BOOK = 0  # owner of displayed orders; other owners are the numbers of a strategy's orders


class PlainMarket:
    """Recorded levels, trades and a strategy's orders in one book; each order is `[owner, leaves]`."""

    def __init__(self, *, proportional: bool) -> None:
        self.proportional = proportional
        self.queues: dict[Key, list[list[int]]] = {}
        self.recorded: dict[Key, int] = {}
        self.taken: dict[Key, int] = {}
        self.fills: list[tuple[int, int, int]] = []  # price, quantity, the strategy's order
        self.unmatched = self.crossed = 0

    def depth(self, side: int) -> dict[int, int]:
        """`{price: quantity}` of one side."""
        sums = {key: sum(leaves for _, leaves in queue) for key, queue in self.queues.items()}
        return {price: quantity for (of, price), quantity in sums.items() if of == side and quantity}

    def report(self, changes: list[tuple[int, int, int]]) -> None:
        """One update: decreases of all levels first, then increases, which join behind."""
        increases = []
        for side, price, quantity in changes:
            key = (side, price)
            if quantity != self.recorded.get(key, 0):
                self.taken[key] = 0
            self.recorded[key] = quantity
            displayed = [order for order in self.queues.get(key, []) if order[0] == BOOK]
            resting = sum(leaves for _, leaves in displayed)
            target = max(0, quantity - self.taken.get(key, 0))
            if target > resting:
                increases.append((side, price, target - resting))
            elif target < resting:
                self._cancel(displayed, resting, resting - target)
        for side, price, quantity in increases:
            self.enter(side, price, quantity, BOOK)

    def enter(self, side: int, price: int, quantity: int, owner: int, *, rest: bool = True) -> None:
        """An order of the book or of the strategy: price, then time; what is left rests."""
        for key in self._met(side, price):
            for order in self.queues[key]:
                if not quantity or not order[1]:
                    continue
                if owner == BOOK == order[0]:
                    order[1] = 0
                    self.crossed += 1
                elif BOOK not in (owner, order[0]):
                    return  # the newest of a strategy's two orders goes
                else:
                    filled = min(quantity, order[1])
                    quantity -= filled
                    order[1] -= filled
                    self.fills.append((key[1], filled, owner or order[0]))
                    displayed = (side, price) if owner == BOOK else key
                    self.taken[displayed] = self.taken.get(displayed, 0) + filled
        if quantity and rest:
            self.queues.setdefault((side, price), []).append([owner, quantity])

    def trade(self, side: int, price: int, quantity: int, *, booked: bool) -> None:
        """A recorded trade: own orders at better prices, then the queue at its price."""
        for key in self._met(side, price):
            for order in self.queues[key]:
                if order[0] == BOOK and key[1] != price:
                    continue
                filled = min(quantity, order[1])
                quantity -= filled
                if order[0] != BOOK or not booked:
                    order[1] -= filled
                if order[0] != BOOK and filled:
                    self.fills.append((key[1], filled, order[0]))
        self.unmatched += quantity

    def _met(self, side: int, price: int) -> list[Key]:
        """Levels that an order of `side` can meet at its price, best first."""
        against = 3 - side
        prices = [p for p in self.depth(against) if (p <= price if side == 1 else p >= price)]
        return [(against, p) for p in sorted(prices, reverse=side == 2)]

    def _cancel(self, displayed: list[list[int]], resting: int, quantity: int) -> None:
        if self.proportional:
            cuts = [leaves * quantity // resting for _, leaves in displayed]
            largest = sorted(range(len(cuts)), key=lambda i: (displayed[i][1] * quantity % resting, i), reverse=True)
            for i in largest[: quantity - sum(cuts)]:
                cuts[i] += 1
            for order, cut in zip(displayed, cuts, strict=True):
                order[1] -= cut
            return
        for order in reversed(displayed):
            cut = min(quantity, order[1])
            order[1] -= cut
            quantity -= cut
