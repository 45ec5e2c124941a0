# Internal to the kernel: nothing for Python.
