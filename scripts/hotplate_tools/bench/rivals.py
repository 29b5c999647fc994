"""What hotplate is measured against, as people write it.

`usual` is the handler of the tutorials: boto3 downloads the file into `/tmp` when the module is imported,
ONNX Runtime opens it with default options, `json` reads the body. `IMPORTS` computes nothing: the runtime,
the imports that nobody can do without, an answer. `FLOOR` also has the model's bytes over the link, beside
the imports, taken by two processes at once, which keep none of them and look at none.

`HOTPLATE_TIMED` is hotplate with a clock around its handler and around each `session.run` in it; asked for
`{"report": true}` it returns the two times of every request since. `RUN_ALONE` is a program, not a handler:
it runs a file's graph on an array, as often as each line of its input says, and prints the times.
"""

from __future__ import annotations

__all__ = ["FLOOR", "HOTPLATE", "HOTPLATE_TIMED", "IMPORTS", "RUN_ALONE", "USUAL"]

HOTPLATE = '''\
"""The generic function."""

from hotplate.wiring import model_function

lambda_handler = model_function()
'''

USUAL = '''\
"""A handler as the tutorials have it."""

import json
import os
import tempfile

import boto3
import numpy as np
import onnxruntime as ort

PATH = os.path.join(tempfile.gettempdir(), "model.onnx")
s3 = boto3.client("s3")
s3.download_file(os.environ["MODEL_BUCKET"], os.environ["MODEL_KEY"], PATH)
session = ort.InferenceSession(PATH, providers=["CPUExecutionProvider"])
DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def lambda_handler(event, context):
    body = json.loads(event["body"])
    feeds = {
        each.name: np.array(body[each.name], dtype=DTYPES[each.type]) for each in session.get_inputs()
    }
    results = session.run(None, feeds)
    names = [each.name for each in session.get_outputs()]
    answer = {name: array.tolist() for name, array in zip(names, results)}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(answer)}
'''

IMPORTS = '''\
"""The runtime and the imports, nothing else."""

import numpy
import onnxruntime


def lambda_handler(event, context):
    return {"statusCode": 200, "body": "{}"}
'''

FLOOR = '''\
"""The runtime, two libraries, and a model's bytes as they come by the link."""

import os

SIZE = int(os.environ["MODEL_BYTES"])
PARTS = 2 if SIZE > 1 << 20 else 1


def receive(first, last):
    import socket
    import ssl
    from urllib.parse import urlsplit

    at = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
    what = f"/{os.environ['MODEL_BUCKET']}/{os.environ['MODEL_KEY']}"
    head = [f"GET {what} HTTP/1.1", "Host: s3", f"Range: bytes={first}-{last}", "Connection: close", "", ""]
    plain = socket.create_connection((at.hostname, at.port))
    link = ssl.create_default_context().wrap_socket(plain, server_hostname=at.hostname)
    link.sendall("\\r\\n".join(head).encode())
    buffer, came = bytearray(1 << 16), 0
    while count := link.recv_into(buffer):
        came += count
    return came > last - first


children = []
for part in range(PARTS):
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if receive(SIZE * part // PARTS, SIZE * (part + 1) // PARTS - 1) else 1)
        finally:
            os._exit(2)
    children.append(child)

import numpy
import onnxruntime

for child in children:
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the link gave less than the model")


def lambda_handler(event, context):
    return {"statusCode": 200, "body": "{}"}
'''

HOTPLATE_TIMED = '''\
"""The generic function, timed from within."""

import time

from hotplate.wiring import model_function

handler = model_function()

import onnxruntime as ort

times, run_s, run = [], [0.0], ort.InferenceSession.run


def timed_run(*arguments):
    started = time.perf_counter()
    try:
        return run(*arguments)
    finally:
        run_s[0] += time.perf_counter() - started


ort.InferenceSession.run = timed_run


def lambda_handler(event, context):
    if "report" in event:
        seen = times[:]
        times.clear()
        return seen
    run_s[0] = 0.0
    started = time.perf_counter()
    result = handler(event, context)
    times.append(((time.perf_counter() - started) * 1000, run_s[0] * 1000))
    return result
'''

RUN_ALONE = '''\
"""session.run, and nothing else: arguments are the model and an array as .npy."""

import json
import sys
import time

import numpy as np
import onnxruntime as ort

session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feeds = {"x": np.load(sys.argv[2])}
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        started = time.perf_counter()
        (y,) = session.run(None, feeds)
        times.append((time.perf_counter() - started) * 1000)
    print(json.dumps({"times": times, "y": y.ravel().tolist()}), flush=True)
'''
