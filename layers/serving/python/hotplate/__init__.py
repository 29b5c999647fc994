"""hotplate's serving runtime: everything that runs inside the Lambda function, and nothing else."""

import os
import time

__version__ = "0.1.0"

# When the first line of hotplate ran, on the monotonic clock in seconds: the cold ledger's zero.
IMPORTED_AT = time.perf_counter()

# ONNX Runtime's builds for Linux, from 1.32 on, tell Microsoft of each session, by a thread and a database of
# their own, unless this is set before they are loaded: its Privacy.md, "Disabling Telemetry". What a model is
# asked, and that it is, is nobody's business. Who wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
