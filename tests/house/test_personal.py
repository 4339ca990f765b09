"""The register of personal data names every table and every column, once."""

from plumbing.tables import METADATA
from plumbing.tables.personal import HOLDINGS, Erasure


def test_every_table_is_in_the_register_of_personal_data_and_no_other() -> None:
    assert sorted(HOLDINGS) == sorted(METADATA.tables), "say in plumbing/tables/personal.py what the table holds"


def test_every_column_is_personal_or_is_not() -> None:
    for name, table in METADATA.tables.items():
        holding = HOLDINGS[name]

        assert holding.personal | holding.other == set(table.columns.keys()), name
        assert not holding.personal & holding.other, name


def test_what_is_personal_is_exported_and_erased() -> None:
    for name, holding in HOLDINGS.items():
        assert bool(holding.personal) is (holding.erasure is not Erasure.KEPT), name
        assert holding.exported_as is not None or not holding.personal, name
        assert holding.how.endswith("."), name
