"""Typed answers of the commands: the output of `--json`, and of the tools of `hpsearch mcp`.

`answer_types` defines them, the other modules build them from journals and results, and `schemas`
describes them as JSON schemas. Nothing here prints.
"""
