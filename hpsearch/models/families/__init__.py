"""The families of networks that ship, one module each."""
