"""`hpsearch init`: write a commented study file for a table."""
