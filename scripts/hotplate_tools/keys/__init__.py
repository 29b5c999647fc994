"""Keys, tenants and what they used: of a stack, on AWS or in the local cloud."""
