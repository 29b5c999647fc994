"""What tenants use: from the models' logs into the ledger, and out of it to the tenant."""
