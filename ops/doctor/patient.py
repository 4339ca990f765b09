"""Whom the doctor looks at: the settings of production, or the platform that `up` runs here."""

from dataclasses import dataclass

from pydantic import SecretStr

from domain.clock import Clock, utc_now
from ops.stack.home import Home
from ops.stack.platform import CERTIFICATES
from plumbing.settings import Settings


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at. Of a platform `is_local` what only production needs is no fault, but told."""

    settings: Settings
    is_local: bool
    management_url: str | None = None
    clock: Clock = utc_now

    def url(self, name: str) -> str | None:
        """One of the URLs with a password in it, or None."""
        value: SecretStr | None = getattr(self.settings, name)
        return value.get_secret_value() or None if value is not None else None


def find_patient(settings: Settings, *, management_url: str | None = None) -> Patient:
    """The settings as they are where they name a database, else those of the `up` that runs here."""
    if settings.database_url is not None:
        return Patient(settings, is_local=False, management_url=management_url)
    home = Home(settings.data_path.absolute())
    run = home.read_run()
    if run is None:
        return Patient(settings, is_local=False, management_url=management_url)
    keys = home.keys()
    certificates = home.folder / CERTIFICATES
    found = {
        "database_url": SecretStr(run.database_url),
        "redis_url": SecretStr(run.redis_url),
        "amqp_url": SecretStr(run.amqp_url),
        "secret_key": settings.secret_key or SecretStr(keys.secret_key),
        "sms_callback_secret": settings.sms_callback_secret or SecretStr(keys.sms_callback_secret),
        "door_certificate": settings.door_certificate or certificates / "door.pem",
        "public_url": run.api_url,
    }
    simulated = run.simulated or {}
    found |= {name: SecretStr(simulated[name]) for name in ("smtp_url", "sms_url") if name in simulated}
    return Patient(settings.model_copy(update=found), is_local=True, management_url=management_url)
