"""How and where a model should run, what that costs, and why: rules, prices, tiers."""
