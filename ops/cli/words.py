"""What people write on a command line, as the API wants to have it."""

import json
from collections.abc import Sequence
from typing import Any

import typer


def recipient(text: str) -> str | dict[str, Any]:
    """To whom: a JSON object as it stands; what looks like an email address or a phone number alone; else a user id."""
    if text.startswith("{"):
        return json_object(text, "--to")
    if "@" in text:
        return {"email": text}
    if text.startswith("+"):
        return {"phone": text}
    return text


def template_data(pieces: Sequence[str]) -> dict[str, Any]:
    """The data of a template: `key=value` pieces (values are text) and JSON objects, later ones winning."""
    data: dict[str, Any] = {}
    for piece in pieces:
        if piece.lstrip().startswith("{"):
            data |= json_object(piece, "--data")
            continue
        name, is_pair, value = piece.partition("=")
        if not is_pair or not name:
            raise typer.BadParameter(f"{piece!r} is neither key=value nor a JSON object", param_hint="--data")
        data[name] = value
    return data


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object; BadParameter for anything else."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no JSON: {error}", param_hint=option) from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{text!r} is no JSON object", param_hint=option)
    return found
