"""Draws who tells whom what, from the catalogue of engines and the topics, as text and as a picture.

`python docs/draw_flow.py` writes `docs/flow.svg` and the block between the marks in `docs/architecture.md`;
`--check` writes nothing and exits with 1 where they are not current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from nautilus.engines import CATALOGUE
from nautilus.model import commands
from nautilus.model.topics import TOPICS

HERE = Path(__file__).parent
PICTURE = HERE / "flow.svg"
PAGE = HERE / "architecture.md"
BEGIN, END = "<!-- flow: written by docs/draw_flow.py -->\n", "<!-- end of flow -->\n"
MARKET = "market"


class Row(NamedTuple):
    """One kind of message: what it is, who sends it, who takes it, and on which bus."""

    label: str
    source: str
    targets: tuple[str, ...]
    bus: str


# What is not on a topic: the market at the venue, and requests from one engine to another.
REQUESTS = (
    ((commands.SubmitOrder, commands.CancelOrder, commands.ReplaceOrder, commands.MassCancel), "strategy", "trading"),
    ((commands.KillSwitch,), "risk", "trading"),
)


def rows() -> list[Row]:
    """The market first, then the topics in their order, then the requests."""
    found = [Row("COMMAND (levels, trades, agents)", MARKET, ("trading",), "venue")]
    found.append(Row("QUOTE, TRADE, BOOK_DELTA (recorded)", MARKET, ("marketdata",), "venue"))
    for topic in TOPICS:
        if topic.publisher not in CATALOGUE or topic not in CATALOGUE[topic.publisher].publishes:
            continue  # what publishes it is still to come
        takers = tuple(name for name, entry in CATALOGUE.items() if topic in entry.subscribes)
        found.append(Row(topic.name, topic.publisher, takers, "star" if topic.record is not None else "mesh"))
    for kinds, source, target in REQUESTS:
        found.append(Row(", ".join(kind.__name__ for kind in kinds), source, (target,), "mesh"))
    return found


def columns() -> list[str]:
    """The market, then the engines in the order of the catalogue."""
    return [MARKET, *CATALOGUE]


def as_text() -> str:
    """A line for each kind of message, a column for each engine."""
    names = columns()
    left = max(len(row.label) for row in rows()) + 2
    step = max(map(len, names)) + 2
    lines = [" " * left + "".join(name.center(step) for name in names).rstrip()]
    for row in rows():
        start = names.index(row.source)
        ends = [names.index(target) for target in row.targets]
        first, last = min([start, *ends]), max([start, *ends])
        cells = [" "] * (step * len(names))
        for place in range(first * step + step // 2, last * step + step // 2):
            cells[place] = "─"
        for end in ends:
            cells[end * step + step // 2] = "▶" if end > start else "◀"
        cells[start * step + step // 2] = "●"
        lines.append((row.label.ljust(left) + "".join(cells)).rstrip())
    return "\n".join(lines) + "\n"


COLOURS = {"venue": "#6b7280", "star": "#1d4ed8", "mesh": "#b45309"}
STEP, LINE, LEFT, TOP = 120, 34, 300, 76


def as_svg() -> str:
    """The same as a picture: a vertical line for each engine, an arrow for each kind of message."""
    names, messages = columns(), rows()
    x = {name: LEFT + STEP // 2 + STEP * place for place, name in enumerate(names)}
    width, height = LEFT + STEP * len(names) + 20, TOP + LINE * len(messages) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Flow of messages between engines">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for name in names:
        note = "at the venue" if name == MARKET else f"port {CATALOGUE[name].port}"
        parts += [
            f'<rect x="{x[name] - 52}" y="16" width="104" height="40" rx="6" fill="#f3f4f6" stroke="#374151"/>',
            f'<text x="{x[name]}" y="34" text-anchor="middle" font-weight="600">{escape(name)}</text>',
            f'<text x="{x[name]}" y="49" text-anchor="middle" font-size="10" fill="#4b5563">{note}</text>',
            f'<line x1="{x[name]}" y1="56" x2="{x[name]}" y2="{height - 40}" stroke="#d1d5db"/>',
        ]
    for place, row in enumerate(messages):
        y, colour, start = TOP + LINE * place + 12, COLOURS[row.bus], x[row.source]
        label, size = escape(row.label), 13 if len(row.label) < 40 else 10
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" font-size="{size}">{label}</text>')
        for target in row.targets:
            tip, way = x[target], 1 if x[target] > start else -1
            parts.append(f'<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
            back = tip - 9 * way
            parts.append(f'<path d="M{tip} {y} L{back} {y - 5} L{back} {y + 5} Z" fill="{colour}"/>')
        parts.append(f'<circle cx="{start}" cy="{y}" r="5" fill="{colour}"/>')
    for place, (bus, text) in enumerate(
        (("venue", "at the venue itself"), ("star", "star: facts"), ("mesh", "mesh: decisions"))
    ):
        left, y = LEFT + 190 * place, height - 18
        parts.append(f'<circle cx="{left}" cy="{y - 4}" r="5" fill="{COLOURS[bus]}"/>')
        parts.append(f'<text x="{left + 10}" y="{y}" fill="#374151">{text}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def page_with(text: str, page: str) -> str:
    """The page with the block between the marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE}: expected the lines {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}```text\n{text}```\n{END}{after}"


def main() -> int:
    page = PAGE.read_text()
    wanted = {PAGE: page_with(as_text(), page), PICTURE: as_svg()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not current; run python docs/draw_flow.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
