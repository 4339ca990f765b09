"""One canonical form per address, and a sentence for everything that has none."""

import pytest

from preferences.addresses import canonical_email, canonical_phone


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace+news@EXAMPLE.com", "Ada.Lovelace+news@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@exаmple.com", "ada@xn--exmple-4nf.com"),  # a Cyrillic a: shown for what it is
        ("o'neil@example.co.uk", "o'neil@example.co.uk"),
        (f"{'a' * 64}@example.com", f"{'a' * 64}@example.com"),  # RFC 5321 4.5.3.1.1: no more than that
    ],
)
def test_an_email_address_has_one_form(given: str, canonical: str) -> None:
    assert canonical_email(given) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@com",
        "ada@localhost",
        "a@b.c, evil@x.y",
        "<a@b.c> <e@x.y>",
        "Ada <ada@example.com>",
        '"a@evil.com"@b.c',
        "a@[127.0.0.1]",
        "=?utf-8?q?a=40evil.com=3E?= <a@b.c>",
        "a@b.c\r\nRCPT TO:<evil>",
        "a@b.c\n",
        " a@b.c",
        "a(comment)@b.c",
        "a\u0000@b.c",
        "a@b.c\u2028",
        "ädä@example.com",
        "a..b@example.com",
        "ada@example..com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 20}.com",
    ],
)
def test_what_is_not_one_plain_address_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is|may|has) "):
        canonical_email(given)


@pytest.mark.parametrize(
    ("given", "region", "canonical"),
    [
        ("+33612345678", None, "+33612345678"),
        ("+33 6 12 34 56 78", None, "+33612345678"),
        ("+1 (415) 555-0100", None, "+14155550100"),
        ("06 12 34 56 78", "FR", "+33612345678"),
    ],
)
def test_a_phone_number_has_one_form(given: str, region: str | None, canonical: str) -> None:
    assert canonical_phone(given, region) == canonical


@pytest.mark.parametrize(
    "given",
    [
        "",
        "+",
        "0612345678",
        "+19005551234",
        "+33899123456",
        "+449098790000",
        "+881612345678",
        "+882161234567",
        "+870773123456",
        "12345",
        "+112",
        "+1415",
        f"+{'4' * 40}",
        "+1415555CALL",
        "+1 415 555 0100;ext=1",
        "+1 415 555 0100 x1",
        "+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660",
        "+\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",
        "\u202e+14155550100",
        "+14155550100\r\n",
        "tel:+14155550100",
    ],
)
def test_what_is_no_ordinary_number_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is|may|has) "):
        canonical_phone(given)
