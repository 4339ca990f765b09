"""The few pages that recipients open: small, without scripts, cookies or anything from elsewhere."""

from base64 import b64encode
from hashlib import sha256
from html import escape

from starlette.responses import HTMLResponse, Response

_STYLE = (
    "body{font:1.125rem/1.5 system-ui,sans-serif;margin:0;background:#f4f4f1;color:#222}"
    "main{max-width:32rem;margin:12vh auto;padding:2rem;background:#fff;border-radius:.5rem}"
    "h1{font-size:1.5rem;margin-top:0}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:.3rem 0;border:1px solid #222;border-radius:.3rem;cursor:pointer}"
    "button.first{background:#222;color:#fff}"
    "@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#eee}main{background:#262626}"
    "button{border-color:#eee;background:#262626;color:#eee}button.first{background:#eee;color:#222}}"
)
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
}
"""The address of such a page is itself a secret: it goes into no referrer and no index."""


def page(title: str, *paragraphs: str, form: str = "", status: int = 200) -> Response:
    """A page of text; `form` is HTML made by `button`."""
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{text}{form}</main></body></html>"
    )
    return HTMLResponse(document, status, headers=_HEADERS)


def button(label: str, *, name: str, value: str, is_first: bool = True) -> str:
    """A form of one button that posts one field to the page's own address."""
    look = ' class="first"' if is_first else ""
    return (
        f'<form method="post"><button{look} type="submit" name="{escape(name)}" value="{escape(value)}">'
        f"{escape(label)}</button></form>"
    )
