"""Private parts of other libraries: one module for each library.

A private part can change in any release. Here stand all that hpsearch uses, each with the reason,
so that a new version is judged in one place: `make compat` tests the oldest and the newest
versions that pyproject.toml allows. Importing a module of this package imports no library.
"""
