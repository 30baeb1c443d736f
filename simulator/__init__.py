"""The simulated phone network: humans with phones behind a provider-shaped HTTP API, its own process."""
