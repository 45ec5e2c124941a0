"""The runtime: hosts that run engines, configuration, the clock. See `replay.run` for the main job."""
