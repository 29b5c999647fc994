"""What does the serving path import, in time, against NumPy and ONNX Runtime alone?

Fresh processes, interleaved; medians and their ratio. Fails over the budget.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 9
BUDGET = 1.6
FLOOR = "import numpy, onnxruntime"
SERVING = "import hotplate.wiring, hotplate.http.endpoint, hotplate.runtime.loader"
USUAL = (
    "import boto3; boto3.client('s3', region_name='us-east-1'); import numpy, onnxruntime, pydantic\n"
    "from aws_lambda_powertools import Logger, Metrics\n"
    "from aws_lambda_powertools.event_handler import APIGatewayRestResolver"
)
PROGRAM = "import time; started = time.perf_counter()\n{}\nprint((time.perf_counter() - started) * 1000)"


def milliseconds(imports: str) -> float:
    """Return what a fresh process takes for `imports`, in ms."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(imports)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Print one line a set of imports."""
    sets = {"numpy + onnxruntime": FLOOR, "hotplate": SERVING, "a usual handler": USUAL}
    seen: dict[str, list[float]] = {name: [] for name in sets}
    for imports in sets.values():
        milliseconds(imports)
    for _ in range(ROUNDS):
        for name, imports in sets.items():
            seen[name].append(milliseconds(imports))
    floor = statistics.median(seen["numpy + onnxruntime"])
    for name, values in seen.items():
        middle = statistics.median(values)
        sys.stdout.write(f"{name:<22}{middle:8.1f} ms  {middle / floor:5.2f}x  (min {min(values):.1f})\n")
    if statistics.median(seen["hotplate"]) > BUDGET * floor:
        sys.exit(f"hotplate's imports are over their budget of {BUDGET}")


if __name__ == "__main__":
    main()
