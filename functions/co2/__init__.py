"""The function of the model co2."""

import hotplate as hotplate  # first, so that the cold ledger's clock starts before the heavy imports
