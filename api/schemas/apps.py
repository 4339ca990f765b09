"""Apps: as asked and as told."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator

from api.schemas.base import Asked, Moment, PageQuery, Told
from api.words import fault_of_line
from channels.push.room import Overflow
from domain.push import MAX_LIFE_S

BUNDLE_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,154}$"
_DEFAULT_PORTS = {"http": 80, "https": 443}

BundleId = Annotated[str, StringConstraints(pattern=BUNDLE_ID)]


def canonical_origin(text: str) -> str:
    """A web origin (RFC 6454) as browsers send it. ValueError says what is wrong."""
    wrong = "must be an origin such as https://shop.example: scheme, host and port, nothing else"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    host = parts.hostname or ""
    netloc = f"[{host}]" if ":" in host else host
    is_plain = not parts.path and not parts.query and not parts.fragment and "@" not in parts.netloc
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not host.isascii()
        or not host
        or not is_plain
        or text.endswith(("?", "#"))
    ):
        raise ValueError(wrong)
    if fault_of_line(text) is not None or " " in text or "*" in text:
        raise ValueError(wrong)
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{netloc}"
    return f"{parts.scheme}://{netloc}:{port}"


class AppAsked(Asked):
    """An app as it shall be; what is left out gets its default."""

    web_origins: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=50)] = Field(
        default_factory=list, description="pages that may connect; a connection without an origin is no page"
    )
    expires_in_s: Annotated[int, Field(ge=60, le=MAX_LIFE_S, description="of a push that says nothing")] = MAX_LIFE_S
    overflow: Literal["drop_oldest_lowest_priority", "reject"] = "drop_oldest_lowest_priority"
    silent_per_hour: Annotated[int, Field(ge=0, le=3600, description="silent pushes per device")] = 10
    names_users: Annotated[
        bool, Field(description="let the publishable app key say whose a new device is: anybody can read that key")
    ] = False

    @field_validator("web_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        return list(dict.fromkeys(canonical_origin(origin) for origin in origins))


class AppTold(Told):
    """An app as it stands. `app_key` is publishable; while `braked_at` is set no token of it is invalidated."""

    bundle_id: str
    app_key: str
    web_origins: list[str]
    expires_in_s: int
    overflow: Overflow
    silent_per_hour: int
    names_users: bool
    braked_at: Moment | None


class AppPage(Told):
    """Apps by bundle id."""

    items: list[AppTold]
    next_cursor: str | None


class AppQuery(PageQuery):
    """How many, and from where on."""

    cursor: BundleId | None = None
