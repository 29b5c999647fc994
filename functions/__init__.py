"""One package a function; each knows only `hotplate`."""
