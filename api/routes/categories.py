"""Categories: the shipped ones, and the tenant's own on top."""

from typing import Annotated

from fastapi import Path

from api.dependencies import CampaignsKey, Reader, TheHouse
from api.errors import not_found
from api.routing import router
from api.schemas.categories import CategoryAsked, CategoryPage, CategoryTold
from domain.lanes import Channel
from preferences.model import AmbiguousPolicy, Category, Kind

ROUTER = router("/api/v1/categories", tag="categories")

NameInPath = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]


@ROUTER.get("", summary="Every category that can be used")
async def list_categories(house: TheHouse, key: Reader) -> CategoryPage:
    """The shipped ones and the tenant's own, by name."""
    found = await house.categories.list_all(house.hot_pool, key.tenant_id)
    return CategoryPage(items=[_told(category) for category in found])


@ROUTER.get("/{name}", summary="One category")
async def get_category(house: TheHouse, key: Reader, name: NameInPath) -> CategoryTold:
    """404 when there is none of that name."""
    found = await house.categories.get(house.hot_pool, key.tenant_id, name)
    if found is None:
        raise not_found("category")
    return _told(found)


@ROUTER.put("/{name}", summary="Write a category")
async def put_category(house: TheHouse, key: CampaignsKey, name: NameInPath, asked: CategoryAsked) -> CategoryTold:
    """Honoured by every send within two seconds. A shipped category of that name is overwritten for this tenant."""
    category = Category(
        name=name,
        kind=Kind(asked.kind),
        default_allow=asked.default == "allow",
        required=asked.required,
        channels=tuple(dict.fromkeys(Channel(channel) for channel in asked.channels)),
        dedupe_window_s=asked.dedupe_window_s,
        expires_in_s=asked.expires_in_s,
        ambiguous=AmbiguousPolicy(asked.ambiguous),
    )
    await house.categories.put(house.hot_pool, key.tenant_id, category)
    return _told(category)


def _told(category: Category) -> CategoryTold:
    return CategoryTold(
        id=category.name,
        kind=str(category.kind),
        default="allow" if category.default_allow else "deny",
        required=category.required,
        channels=[str(channel) for channel in category.channels],
        dedupe_window_s=category.dedupe_window_s,
        expires_in_s=category.expires_in_s,
        ambiguous=str(category.ambiguous),
    )
