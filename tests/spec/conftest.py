"""Compares the JSON schema with the loader for every declaration that a test loads."""

from study_file_schema import schema_agrees_with_the_loader  # noqa: F401  # used by every test
