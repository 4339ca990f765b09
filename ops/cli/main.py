"""The console script `carillon`: one file per family of verbs, and every heavy import where it is used.

`--help` must answer in under 0.4 s, so nothing here or at the top of those files may import more than typer does.
"""

import typer

from ops.cli import (
    admin,
    apns_keys,
    apps,
    bench,
    chaos,
    dead_letters,
    demo,
    doctor,
    holds,
    local,
    quality,
    roles,
    send,
    webhooks,
)
from ops.cli.door import CarillonGroup

app = typer.Typer(
    name="carillon",
    cls=CarillonGroup,
    help="One notification, many channels: run it here, send with it, look after it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

for family in (
    local,
    send,
    dead_letters,
    webhooks,
    demo,
    doctor,
    admin,
    apps,
    apns_keys,
    holds,
    roles,
    quality,
    bench,
    chaos,
):
    family.register(app)

if __name__ == "__main__":
    app()
