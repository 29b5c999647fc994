"""hotplate's serving runtime: everything that runs inside the Lambda function, and nothing else."""

import time

__version__ = "0.1.0"

# When the first line of hotplate ran, on the monotonic clock in seconds: the cold ledger's zero.
IMPORTED_AT = time.perf_counter()
