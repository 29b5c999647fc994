"""Training: one driver, one trainer a model, and where what they make is kept."""
