"""What ministack starts as a streaming function's worker: makes the place Lambda's, then becomes its wrapper.

ministack writes the worker's own first line and reads one back; the line after that is ours, and names the
Runtime API. From then on the process is `AWS_LAMBDA_EXEC_WRAPPER INTERPRETER …`, as on Lambda, and all that
it writes is its log.

Standard library only: it is copied into the worker's folder and run there.
"""

import json
import os
import site
import stat
import sys
from pathlib import Path


def become_wrapper() -> None:
    """Replace this process by the function's wrapper."""
    own = json.loads(sys.stdin.readline())
    sys.stdout.write(json.dumps({"status": "ready", "cold": True}) + "\n")
    sys.stdout.flush()
    address = json.loads(sys.stdin.readline())["api"]
    layers = [Path(each) for each in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if each]
    packages = [str(layer / "python") for layer in reversed(layers)]
    # What Lambda brings, as boto3, comes last: here it is what ministack's own environment has.
    path = os.pathsep.join([own["code_dir"], *packages, *site.getsitepackages()])
    wrapper = find_wrapper(os.environ["AWS_LAMBDA_EXEC_WRAPPER"], layers)
    # A zip that is unpacked by Python leaves no file executable.
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    os.environ.update(
        {
            "AWS_LAMBDA_RUNTIME_API": address,
            "PYTHONPATH": path,
            "_HANDLER": f"{own['module']}.{own['handler']}",
        }
    )
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(wrapper, [str(wrapper), sys.executable])  # noqa: S606 - no shell wanted


def find_wrapper(name: str, layers: list[Path]) -> Path:
    """Return the file that is `name` on Lambda, where layers lie over each other in /opt."""
    inside = name.removeprefix("/opt/")
    for layer in reversed(layers):
        if (layer / inside).is_file():
            return layer / inside
    raise FileNotFoundError(f"AWS_LAMBDA_EXEC_WRAPPER is {name}, which no layer has")


if __name__ == "__main__":
    become_wrapper()
