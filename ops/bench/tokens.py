"""The tokens of a benchmark's devices, known to both sides without a list."""

from hashlib import sha256


def device_token(run: str, number: int) -> str:
    """The token of device `number` of the run named `run`: 64 hex digits."""
    return sha256(f"{run}/{number}".encode()).hexdigest()
