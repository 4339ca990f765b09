"""What accept works with, put together from a process's resources: for doors and for who plans campaigns."""

from fanout.accept import Intake
from fanout.limits import Policy
from plumbing.limiter import Limiter
from plumbing.resources import Resources
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog


def intake_of(resources: Resources) -> Intake:
    """An intake on these resources, with limits and templates as the settings have them. Misconfigured when a message
    cannot be read."""
    settings = resources.settings
    policy = Policy(
        key_per_s=settings.key_limit_per_s,
        key_burst=settings.key_limit_burst,
        user_per_hour=settings.user_limit_per_hour,
        user_burst=settings.user_limit_burst,
    )
    return Intake(
        resources.hot_pool,
        resources.cache,
        Limiter(resources.cache),
        resources.seal,
        Catalog([SHIPPED, *([settings.template_path] if settings.template_path else [])]),
        Categories(),
        policy,
    )
