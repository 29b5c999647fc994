"""Who may ask for what, and what it used: keys, scopes, limits and usage, with no I/O."""
