"""`python3 ops/docker/make_env.py`: makes up the secrets of docker-compose.yml, once, with the standard library only.

Each server gets a file of its own in .data/docker/, readable by its owner, so that none sees another's password.
What is there already stays: a new password would not fit the old data.
"""

import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".data" / "docker"
NAME = "carillon"


def documents() -> dict[str, dict[str, str]]:
    """The variables of each file, with newly made secrets."""
    postgres, redis, rabbitmq = (
        secrets.token_hex(24) for _ in range(3)
    )  # no sign that an option or a URL could trip over
    return {
        "postgres.env": {"POSTGRES_USER": NAME, "POSTGRES_DB": NAME, "POSTGRES_PASSWORD": postgres},
        "redis.env": {"REDIS_PASSWORD": redis},
        "rabbitmq.env": {
            "RABBITMQ_DEFAULT_USER": NAME,
            "RABBITMQ_DEFAULT_PASS": rabbitmq,
            "RABBITMQ_DEFAULT_VHOST": NAME,
        },
        "carillon.env": {
            "CARILLON_DATABASE_URL": f"postgresql://{NAME}:{postgres}@postgres:5432/{NAME}",
            "CARILLON_REDIS_URL": f"redis://:{redis}@redis:6379/0",
            "CARILLON_AMQP_URL": f"amqp://{NAME}:{rabbitmq}@rabbitmq:5672/{NAME}",
            "CARILLON_SMTP_URL": "smtp://mailpit:1025",
            "CARILLON_SECRET_KEY": secrets.token_urlsafe(48),
            "CARILLON_SMS_CALLBACK_SECRET": secrets.token_urlsafe(32),
            "CARILLON_PUBLIC_URL": "http://127.0.0.1:8000",
        },
    }


def write(folder: Path) -> list[Path]:
    """Write the files into `folder` and return them; none when they are there. FileExistsError when only some are."""
    made = documents()
    there = [name for name in made if (folder / name).exists()]
    if len(there) == len(made):
        return []
    if there:
        raise FileExistsError(
            f"{folder} holds only {', '.join(there)}: put the others back, or remove these to begin anew"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, variables in made.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.writelines(f"{variable}={value}\n" for variable, value in variables.items())
    return [folder / name for name in made]


def main() -> int:
    """Write the files and say so; 1 with one line when that cannot be done."""
    try:
        written = write(FOLDER)
    except OSError as error:
        print(f"make_env: {error}", file=sys.stderr)
        return 1
    print(
        f"{len(written)} files written to {FOLDER}" if written else f"{FOLDER} has its secrets already; nothing changed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
