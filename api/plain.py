"""Answers of plain values, in JSON at once: no model is made of what is ours and fits its schema already."""

import msgspec
from fastapi import Response

_encode = msgspec.json.Encoder().encode


def in_json(document: object) -> Response:
    """A 200. The route names the schema that `document` fits (`response_model`), and a contract test holds it to it."""
    return Response(_encode(document), media_type="application/json")
