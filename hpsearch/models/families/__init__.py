"""The built-in families of networks, one module each."""
