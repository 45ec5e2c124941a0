"""Fuzzing: arbitrary bytes into every decoder of the project and into the kernel.

Forbidden outcomes: a crash, a hang, memory out of proportion, an exception that the target does not name.

- `targets.TARGETS`: by name, what is fed, which exceptions are answers, and sound inputs to begin with.
- `python -m tests.fuzz NAME --seconds 60`: with atheris, on a build that counts edges, where that is there
  (`make fuzz`), else by blind changes of the sound inputs.
- `regressions/<target>/`: inputs that once failed; tests run them first.
"""
