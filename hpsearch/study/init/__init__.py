"""`hpsearch init`: from a table to a commented study file."""
