"""Small forms, as mail programs and our own page send them: urlencoded or multipart, fields of text, nothing else."""

import email.parser
import email.policy
from email.message import EmailMessage
from urllib.parse import parse_qsl

from starlette.requests import Request

from api.body import read_body
from domain.errors import RequestRefused

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 20
_TYPES = "application/x-www-form-urlencoded or multipart/form-data"


async def read_form(request: Request, *, timeout_s: float) -> dict[str, str]:
    """The fields of a form; of equal names the first counts. RequestRefused: 415, 413, 408, 400."""
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        raise RequestRefused("unsupported_media_type", f"send {_TYPES}", 415)
    body = await read_body(request, MAX_FORM_BYTES, timeout_s=timeout_s)
    pairs = _multipart(body, content_type) if media_type == "multipart/form-data" else _urlencoded(body)
    return dict(reversed(pairs))


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RequestRefused("malformed_form", "the body is not a form that can be read", 400) from None


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Parts of a multipart form (RFC 7578), read by the standard library's parser of mail."""
    head = b"content-type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    form = email.parser.BytesParser(EmailMessage, policy=email.policy.HTTP).parsebytes(head + body)
    parts = list(form.iter_parts()) if form.is_multipart() else []
    if not 1 <= len(parts) <= MAX_FIELDS:
        raise RequestRefused("malformed_form", "the body is not a form that can be read", 400)
    fields = []
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            fields.append((name, value.decode("utf-8", "replace").strip("\r\n")))
    return fields
