"""What an operator is shown of people's data who did not ask to see it: its shape, and nothing that names anybody."""

from typing import Any

from plumbing.log import without_secrets

HIDDEN = "[hidden]"


def masked(value: Any) -> Any:
    """JSON with every text hidden: numbers, flags, empty texts and the names of members stay."""
    if isinstance(value, str):
        return HIDDEN if value else value
    if isinstance(value, dict):
        return {without_secrets(name): masked(member) for name, member in value.items()}
    if isinstance(value, list):
        return [masked(member) for member in value]
    return value


def masked_facts(facts: Any) -> Any:
    """JSON of ours, and of providers: addresses, tokens and keys are taken out of its texts."""
    if isinstance(facts, str):
        return without_secrets(facts)
    if isinstance(facts, dict):
        return {name: masked_facts(member) for name, member in facts.items()}
    if isinstance(facts, list):
        return [masked_facts(member) for member in facts]
    return facts


def masked_address(address: str | None) -> str | None:
    """The domain of an e-mail address, the last two digits of a number."""
    if address is None:
        return None
    local, is_email, domain = address.rpartition("@")
    return f"{HIDDEN}@{domain}" if is_email and local else f"{HIDDEN}{address[-2:]}"
