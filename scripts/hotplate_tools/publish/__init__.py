"""From a model file to a published version: read, describe, plan, execute."""
