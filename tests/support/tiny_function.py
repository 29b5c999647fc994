"""A built SAM application with one small function, for tests of what runs functions.

The function does what its event says, so that a test reads as one line of event and one of answer.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

__all__ = ["write_tiny_application"]

_APP = """
import os, pathlib, sys, time
import lower, upper

counter = 0

def handler(event, context):
    global counter
    counter += 1
    event = event if "do" in event else (event.get("queryStringParameters") or {})
    return ACTIONS[event.get("do", "describe")](event, context)

def describe(event, context):
    return {"count": counter, "request_id": context.aws_request_id, "layers": [lower.NAME, upper.NAME]}

def sleep(event, context):
    time.sleep(float(event["seconds"]))
    return {"statusCode": 200, "body": "slept"}

def look(event, context):
    return {
        "environment": dict(os.environ),
        "processes": sorted(int(each) for each in os.listdir("/proc") if each.isdigit()),
        "root": sorted(os.listdir("/")),
        "shm": os.path.exists("/dev/shm"),
        "sys_path": sys.path,
        "tmp": os.listdir("/tmp"),
        "uid": os.getuid(),
    }

def write(event, context):
    try:
        pathlib.Path(event["path"]).write_bytes(bytes(int(event.get("size", 1))))
    except OSError as fault:
        return os.strerror(fault.errno)
    return "written"

def boom(event, context):
    raise ValueError("boom")

def respond(event, context):
    headers = {"X-Twice": ["a", "b"]}
    return {"statusCode": 201, "multiValueHeaders": headers, "body": "AAEC", "isBase64Encoded": True}

ACTIONS = {
    "allocate": lambda event, context: len(bytearray(b"x" * (event["mb"] << 20))),
    "boom": boom,
    "describe": describe,
    "exit": lambda event, context: os._exit(3),
    "look": look,
    "lookalike": lambda event, context: {"errorMessage": "mine", "errorType": "Mine"},
    "measure": lambda event, context: len(event["text"]),
    "repeat": lambda event, context: "x" * event["size"],
    "respond": respond,
    "sleep": sleep,
    "whose": lambda event, context: {"tenant": context.tenant_id, "count": counter},
    "write": write,
}
"""

_TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Memory: {Type: Number, Default: 256}
Globals:
  Function:
    Runtime: python3.13
    Layers: [!Ref LowerLayer]
Resources:
  LowerLayer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: LowerLayer}}
  UpperLayer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: UpperLayer}}
  Bucket: {Type: AWS::S3::Bucket}
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      BinaryMediaTypes: ["*/*"]
      GatewayResponses:
        THROTTLED:
          StatusCode: 429
          ResponseParameters: {Headers: {Retry-After: "'1'"}}
          ResponseTemplates: {application/json: '{"error": $context.error.messageString}'}
  TinyFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: TinyFunction
      Handler: app.handler
      MemorySize: !Ref Memory
      Timeout: 2
      EphemeralStorage: {Size: 512}
      ReservedConcurrentExecutions: 4
      Layers: [!Ref UpperLayer]
      Environment: {Variables: {BUCKET: !Ref Bucket}}
      Events:
        Do: {Type: Api, Properties: {RestApiId: !Ref Api, Method: GET, Path: /do}}
        Rest: {Type: Api, Properties: {RestApiId: !Ref Api, Method: POST, Path: "/rest/{proxy+}"}}
        Stream:
          Type: Api
          Properties:
            RestApiId: !Ref Api
            Method: post
            Path: /stream
            ResponseTransferMode: RESPONSE_STREAM
            TimeoutInMillis: 60000
  BrokenFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: BrokenFunction
      Handler: app.handler
"""


def write_tiny_application(folder: Path) -> Path:
    """Write what `sam build` would have, and return the template's path.

    `TinyFunction` has the route `GET /do`, memory 256 MB, time-out 2 s and reserved concurrency 4;
    its upper layer hides a module of its lower one. `BrokenFunction` needs a package that no layer has.
    """
    files = {
        "template.yaml": _TEMPLATE,
        "TinyFunction/app.py": _APP,
        "BrokenFunction/app.py": "import numpy\n",
        "LowerLayer/python/lower.py": "NAME = 'lower'\n",
        "LowerLayer/python/upper.py": "NAME = 'hidden'\n",
        "UpperLayer/python/upper.py": "NAME = 'upper'\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip(), encoding="utf-8")
    return folder / "template.yaml"
