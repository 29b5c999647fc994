"""The chat function: serves any published model that generates text, streamed."""

import hotplate as hotplate  # first, so that the cold ledger's clock starts before the heavy imports
