"""What hotplate is measured against, as people write it.

`usual` is the handler of the tutorials: boto3 downloads the file into `/tmp` when the module is imported,
ONNX Runtime opens it with default options, `json` reads the body. `floor` computes nothing: the
runtime, the imports that nobody can do without, an answer.
"""

from __future__ import annotations

__all__ = ["FLOOR", "HOTPLATE", "USUAL"]

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

FLOOR = '''\
"""The runtime and the imports, nothing else."""

import numpy
import onnxruntime


def lambda_handler(event, context):
    return {"statusCode": 200, "body": "{}"}
'''
