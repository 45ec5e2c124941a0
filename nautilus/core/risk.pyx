"""What the controls of an account look at; all of it is in the .pxd."""
