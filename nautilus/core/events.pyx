"""Where events are written; all of it is inline, in events.pxd."""
