"""`python -m hotplate.streaming`: what `bootstrap` starts in the place of awslambdaric."""

import os
import sys

from hotplate.streaming.loop import run

sys.exit(run(os.environ, set_variable=os.environ.__setitem__))
