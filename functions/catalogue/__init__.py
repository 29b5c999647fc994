"""The server's own endpoints: is it there, what does it hold, and what is not there."""
