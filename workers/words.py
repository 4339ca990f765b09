"""A claimed delivery → its words and address, ready for a channel. It renders nothing itself: templates do."""

from collections.abc import Hashable

import asyncpg
import msgspec

from channels.base import Outgoing
from domain.content import RenderedContent
from domain.errors import Permanent
from domain.lanes import Channel
from domain.notification import Content
from domain.reasons import Reason
from plumbing.secrets import Seal
from preferences.categories import Categories
from preferences.consent import Subscription, unsubscribe_url
from templates.catalog import Catalog
from templates.render import Person, render, render_content
from tracking.claim import Claimed

_decode_content = msgspec.json.Decoder(Content).decode
_decode_data = msgspec.json.Decoder(dict).decode


MAX_REMEMBERED = 500
MAX_REMEMBERED_BYTES = 4096
"""Of a push's data: what is larger is made each time."""


class Composer:
    """Renders claimed deliveries; what it needs to know of categories is at most two seconds old."""

    def __init__(
        self, pool: asyncpg.Pool, *, catalog: Catalog, categories: Categories, seal: Seal, public_url: str
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._categories = categories
        self._seal = seal
        self._public_url = public_url
        self._known: dict[Hashable, RenderedContent] = {}

    async def __call__(self, claimed: Claimed) -> Outgoing:
        """Render one delivery. Raises Permanent where its words cannot be made, Unavailable where not now."""
        if claimed.address is None:
            raise Permanent(Reason.RECIPIENT_ERASED, "the address was erased")
        return Outgoing(
            id=claimed.id,
            notification_id=claimed.notification_id,
            tenant_id=claimed.tenant_id,
            attempt=claimed.attempt,
            channel=claimed.channel,
            mode=claimed.mode,
            category=claimed.category,
            address=claimed.address,
            content=self._words(claimed, await self._link(claimed)),
            priority=claimed.priority,
            expires_at=claimed.expires_at,
            collapse_id=claimed.collapse_id,
            silent_per_hour=claimed.silent_per_hour,
        )

    def _words(self, claimed: Claimed, link: str | None) -> RenderedContent:
        """Render; words of pushes that are made of the same things are made once."""
        if claimed.channel is not Channel.PUSH or len(claimed.data) > MAX_REMEMBERED_BYTES:
            return self._render(claimed, link)
        alike = _made_of(claimed)
        known = self._known.get(alike)
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            known = self._known[alike] = self._render(claimed, link)
        return known

    def _render(self, claimed: Claimed, link: str | None) -> RenderedContent:
        if claimed.template is None:
            return render_content(
                _decode_content(claimed.data), claimed.channel, unsubscribe_url=link, priority=claimed.priority
            )
        message = self._catalog.get(claimed.template)
        if message is None:
            raise Permanent(Reason.TEMPLATE_ERROR, f"the template {claimed.template} is not there any more")
        return render(
            message,
            claimed.channel,
            _decode_data(claimed.data),
            locale=claimed.locale or claimed.user_locale,
            person=Person(claimed.name, claimed.timezone, claimed.external_id),
            unsubscribe_url=link,
            priority=claimed.priority,
        )

    async def _link(self, claimed: Claimed) -> str | None:
        """Where the reader can unsubscribe from this category; none where it is required."""
        if claimed.channel is not Channel.EMAIL:
            return None
        category = await self._categories.get(self._pool, claimed.tenant_id, claimed.category)
        if category is not None and category.required:
            return None
        subscription = Subscription(
            claimed.tenant_id, claimed.user_id, claimed.address_id, claimed.channel, claimed.category
        )
        return unsubscribe_url(self._seal, self._public_url, subscription)


def _made_of(claimed: Claimed) -> Hashable:
    """All that the words of a push depend on."""
    if claimed.template is None:
        return claimed.data, claimed.priority
    reader = claimed.name, claimed.timezone, claimed.external_id
    return claimed.data, claimed.priority, claimed.template, claimed.locale or claimed.user_locale, reader
