"""Where bytes come from and go to, as an interface. Knows bytes, not manifests."""
