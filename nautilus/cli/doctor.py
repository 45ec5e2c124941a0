"""`nautilus doctor`: what this machine and this installation have, and what to do about what is missing."""

from __future__ import annotations

import click

from nautilus.cli.output import console, json_option, print_json

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this machine and this installation; exit code 1 where something fails."""
    from nautilus.cli.checks import run_checks

    checks = run_checks()
    worst = max((check.status for check in checks), key=list(STYLES).index)
    if as_json:
        print_json({"status": worst, "checks": [check._asdict() for check in checks]})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(width=4)
        table.add_column()
        table.add_column(overflow="fold")
        for check in checks:
            table.add_row(Text(check.status, STYLES[check.status]), check.name, Text(check.found))
            if check.advice:
                table.add_row("", "", Text(f"-> {check.advice}"))
        console().print(table)
    return 1 if worst == "fail" else 0
