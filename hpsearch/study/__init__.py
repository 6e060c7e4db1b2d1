"""Run a whole study: data, search, final fit, locked rows, MLflow.

Imports nothing: commands that read or promote a study need a small part of it.
"""
