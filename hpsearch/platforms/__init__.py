"""Differences between operating systems: durable writes, locks, signals, processes, paths."""
