"""What `bootstrap` and `whole` start in the place of awslambdaric."""

import faulthandler
import io
import os
import sys

from hotplate.streaming.start import run

# As awslambdaric does: an environment that is frozen with a line in its buffer may never write it.
for output in (sys.stdout, sys.stderr):
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(line_buffering=True)
faulthandler.enable()
is_whole = sys.argv[1:] == ["whole"]
sys.exit(run(os.environ, set_variable=os.environ.__setitem__, streams=not is_whole))
