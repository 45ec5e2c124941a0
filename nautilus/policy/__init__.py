"""Pure decisions: no clock, no chance, no input or output; what is decided upon comes as arguments."""
