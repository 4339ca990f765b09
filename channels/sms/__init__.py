"""SMS over a provider's HTTP door."""
