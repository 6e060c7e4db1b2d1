"""Inspect custom models by building them: search space, properties, restrictions."""
