"""Source folder of the model entities."""
