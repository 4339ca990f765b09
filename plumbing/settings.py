"""Everything that can be set from outside: the environment with prefix CARILLON_, or a `.env` file.

`.env.example` lists the same names with the same defaults; a test keeps the two in step.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import Misconfigured


class Settings(BaseSettings):
    """The platform's settings. Units stand in the names; URLs carry their passwords and are never logged."""

    model_config = SettingsConfigDict(env_prefix="CARILLON_", env_file=".env", extra="ignore", frozen=True)

    database_url: SecretStr | None = Field(None, description="postgresql://user:password@host:port/database")
    redis_url: SecretStr | None = Field(None, description="redis://:password@host:port/0")
    amqp_url: SecretStr | None = Field(None, description="amqp://user:password@host:port/vhost")
    smtp_url: SecretStr | None = Field(None, description="smtp://user:password@host:port; smtps:// for TLS at once")
    sms_url: SecretStr | None = Field(None, description="generic HTTP provider: POST {to, from, text, reference}")
    sms_callback_secret: SecretStr | None = Field(None, description="signs POST /callbacks/sms; at least 24 bytes")
    secret_key: SecretStr | None = Field(None, description="signs links and keys address hashes; at least 32 bytes")
    public_url: str = Field("http://127.0.0.1:8000", description="where recipients reach unsubscribe links")

    email_from: str = Field("Carillon <notifications@carillon.localhost>", description="sender of every email")
    sms_from: str = Field("Carillon", description="sender id or number of every SMS")
    sms_max_segments: int = Field(6, ge=1, le=10, description="a longer text is refused before it is sent")
    smtp_timeout_s: float = Field(15.0, gt=0, le=60)
    smtp_connections: int = Field(32, ge=1, le=256, description="pooled connections per worker process")
    smtp_max_per_s: float = Field(1000.0, gt=0, description="emails a second that a worker process may hand over")
    smtp_starttls: Literal["auto", "required", "never"] = "auto"
    sms_timeout_s: float = Field(10.0, gt=0, le=60)
    sms_max_per_s: float = Field(1000.0, gt=0, description="SMS a second that a worker process may hand over")

    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(8001, ge=0, le=65535, description="where devices connect; 0 takes a free one")
    gateway_url: str = Field("", description="how devices reach this node: wss://…; empty: ws:// host and port")
    gateway_node: str = Field("", description="name of this node; empty: host name and port")
    gateway_region: str = Field("local", description="region of this node; devices prefer those of their own")
    gateway_heartbeat_s: float = Field(15.0, ge=1, le=20, description="a device is silent for twice this: it is gone")
    gateway_handshakes_per_s: int = Field(500, ge=1, description="more are told when to come again")
    gateway_max_devices: int = Field(100_000, ge=1, description="connections of one node")
    door_host: str = "127.0.0.1"
    door_port: int = Field(8443, ge=0, le=65535, description="the provider door, HTTP/2 over TLS; 0 takes a free one")
    door_certificate: Path | None = Field(None, description="PEM of the provider door; `up` makes one for development")
    door_private_key: Path | None = Field(None, description="PEM (PKCS#8) of that certificate's key")
    brake_percent: float = Field(10.0, gt=0, le=100, description="of an app's tokens that may die in the window")
    brake_window_s: int = Field(600, ge=1, description="more than that within it, and no token is invalidated")
    device_grace_days: int = Field(30, ge=1, description="an invalidated device can be restored for so long")
    webhook_hosts: str = Field("", description="hosts by comma, inside, that webhooks may call on any port, http too")
    metrics_host: str = Field("127.0.0.1", description="where roles without an API serve /metrics and /health")
    metrics_port: int = Field(0, ge=0, le=65535, description="of roles without an API; 0 takes a free one")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    hot_pool_size: int = Field(8, ge=2, le=64, description="connections of the hot path per process")
    read_pool_size: int = Field(5, ge=1, le=64, description="connections for reading per API, and as many for exports")
    key_limit_per_s: int = Field(2000, ge=1, description="notifications per second and API key")
    key_limit_burst: int = Field(10000, ge=1)
    user_limit_per_hour: int = Field(60, ge=1, description="deliveries per user, channel and hour; critical is free")
    user_limit_burst: int = Field(30, ge=1)
    worker_slots: int = Field(32, ge=1, le=1024, description="provider calls in flight per channel and process")
    retention_months: int = Field(13, ge=1, le=120, description="older partitions are dropped")
    data_path: Path = Field(Path(".data"), description="folder of `up`: local servers, keys, logs, what runs")
    call_tree_path: Path | None = Field(None, description="folder; a role then samples its calls between two SIGUSR2")
    template_path: Path | None = Field(None, description="folder of messages beside the shipped ones")

    def need(self, name: str) -> str:
        """The secret setting `name` as text; Misconfigured says how to give it."""
        value: SecretStr | None = getattr(self, name)
        if value is None or not value.get_secret_value():
            raise Misconfigured(
                f"CARILLON_{name.upper()} is not set (looked in the environment and in {Path('.env').resolve()}): "
                f"{Settings.model_fields[name].description}. On one machine `./carillon up` sets it for you."
            )
        return value.get_secret_value()


def load() -> Settings:
    """Read the settings once, at the door. Misconfigured names each wrong one in a line."""
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"CARILLON_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise Misconfigured(f"settings are wrong: {faults}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{Path('.env').resolve()} cannot be read: {error}") from error
