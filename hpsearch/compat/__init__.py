"""Private parts of other libraries, one module per library.

Private parts can change in any release. All uses in hpsearch are collected here with their reasons;
`make compat` tests them against the oldest and newest versions that pyproject.toml allows.
Importing a module of this package does not import its library.
"""
