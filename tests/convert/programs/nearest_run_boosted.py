"""A sabotaged converter: thresholds rounded to the nearest float32, as most converters do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts/hotplate_tools/convert/runners"))

import boosters
import numpy as np
import run_boosted
from wire import serve

boosters.floor32 = lambda thresholds: thresholds.astype(np.float32)
serve({"convert": run_boosted.convert, "answer": run_boosted.answer})
