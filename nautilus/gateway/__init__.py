"""The gateway: one port in front of all engines, with pools, caches, breakers, routing and a management API."""
