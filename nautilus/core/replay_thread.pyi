# Internal to the core: nothing for Python.
