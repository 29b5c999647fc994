"""The local cloud and the runtime harness: AWS on this machine, without Docker or an account."""
