"""Programs that run in a framework's own environment; none is imported by the tools."""
