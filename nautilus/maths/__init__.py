"""Pure functions of arrays: what engines of analysis compute."""
