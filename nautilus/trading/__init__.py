"""The trading core's process, and what other processes use to trade with it.

`process` runs the core, `recovery` brings it back from its journal, `client` is a process's way to it over shared
memory, `rim` makes execution reports of its events and answers for its orders.
"""
