"""Differential runs: the kernel and an independent matching engine take the same flow; docs/differential.md says how.

`kernel_side` runs a flow on the kernel, `peer_process` runs it on the other engine in an interpreter of its own (the
two packages never meet in one process), `compare` sets the traces side by side. `random_flow`, `recorded_flow` and
`cases` make the flows, `peer` finds the interpreter and talks to it in JSON lines.
"""
