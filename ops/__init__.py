"""The operator's door: command line, local stack, simulated providers."""
