"""Every declaration that a test loads is shown to the JSON schema too."""

from study_file_schema import schema_agrees_with_the_loader  # noqa: F401  # used by every test
