"""Which tables autogenerate looks at: those of `plumbing.tables`, not the months of the partitioned ones."""

from typing import Any

from plumbing.partitions import PARTITION_NAME


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether this object belongs to the migrations: months of partitioned tables are made elsewhere."""
    return not (kind == "table" and name is not None and PARTITION_NAME.match(name))
