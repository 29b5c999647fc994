"""The generic function: serves any published graph's tensors as they are."""

import hotplate as hotplate  # first, so that the cold ledger's clock starts before the heavy imports
