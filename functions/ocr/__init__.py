"""The ocr model's function."""

import hotplate as hotplate  # first, so that the cold ledger's clock starts before the heavy imports
