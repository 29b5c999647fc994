"""The command line and everything that never runs in Lambda."""
