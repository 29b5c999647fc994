"""Answers that leave a function while they are made: the runtime loop of streaming functions.

A streaming function's handler, `handler(event, context)`, returns a `StreamedResponse`, or a dict as any
other function's does. It is run by `hotplate.streaming.loop` in the place of awslambdaric, which cannot
stream (`bootstrap`, named by `AWS_LAMBDA_EXEC_WRAPPER`). So are models whose answers are whole, because it is
quicker (`whole`). Nothing here knows a model or a protocol above HTTP.
"""

from hotplate.streaming.response import StreamedResponse

__all__ = ["StreamedResponse"]
