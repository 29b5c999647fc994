"""The container's process: `python -m functions.sagemaker.serve`.

It listens before the model is there, so that SageMaker sees a container that starts and not one that is
dead. SIGTERM ends it with 0 when all that was begun is answered, with 1 when it is not; a model that cannot
be served ends it with 1.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from functions.sagemaker.answering import Answering
from functions.sagemaker.loading import Loading, load_here
from functions.sagemaker.server import InvocationServer
from functions.sagemaker.settings import ContainerSettings
from hotplate import images
from hotplate.errors import SettingsError
from hotplate.observability import fault_log, write_line
from hotplate.runtime.ledger import end_of_imports

__all__ = ["main"]


def main() -> int:
    """Serve until told to end; return the exit code."""
    try:
        settings = ContainerSettings.from_environ(os.environ)
    except SettingsError as fault:
        fault_log().error(str(fault))
        return 1
    images.bound_pixels(settings.max_pixels)
    end_of_imports()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    loading = Loading(settings.model, load_here)
    address = ("0.0.0.0", settings.port)  # noqa: S104 - SageMaker comes from outside the container
    server = InvocationServer(address, Answering(settings, loading), settings.max_body_bytes)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="serving")
    serving.start()
    write_line("listening", {"port": server.server_port, "workers": settings.workers, "tier": settings.tier})
    loading.start(told.set)
    told.wait()
    answered = server.drain()
    serving.join()
    if not answered:
        fault_log().error("requests were cut off: they were not answered in time")
    return 0 if answered and loading.fault is None else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a request that hangs would keep the process for ever
