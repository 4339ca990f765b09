"""Addresses in their one canonical form: what is stored, hashed and handed to providers. Asks no network."""

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

MAX_EMAIL = 254
_DEAR = {
    PhoneNumberType.PREMIUM_RATE: "a premium rate number",
    PhoneNumberType.SHARED_COST: "a shared cost number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company's access number",
    PhoneNumberType.VOICEMAIL: "a voicemail access number",
}
_NO_COUNTRY = frozenset({870, 878, 881, 882, 883, 888, 979, 991})
"""Satellite, universal and premium networks that belong to no country: dear, and a favourite of fraud."""

_PHONE_SIGNS = frozenset("+0123456789 -.()/\u00a0")


def canonical_email(text: str) -> str:
    """The address with its domain in lower-case ASCII (RFC 5321, IDNA 2008). ValueError with a sentence for people.

    Refuses display names, lists, quoted local parts, comments, domain literals and local parts outside ASCII.
    """
    if not text.isascii() and not text.rpartition("@")[0].isascii():
        raise ValueError("must have only ASCII characters before the @")
    if any(sign in text for sign in '"()[]<>,;:\\') or any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ValueError("must be one plain address like name@example.com")
    try:
        checked = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
        )
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from error
    address = checked.ascii_email
    if address is None or len(address) > MAX_EMAIL:
        raise ValueError(f"must have at most {MAX_EMAIL} characters with its domain in ASCII")
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def canonical_phone(text: str, region: str | None = None) -> str:
    """The number as E.164; `region` (like "FR") reads numbers without a country. ValueError with a sentence.

    Refuses letters, extensions, digits that are not ASCII, short codes and numbers that cost more than an SMS should.
    """
    if not set(text) <= _PHONE_SIGNS:
        raise ValueError("may hold only ASCII digits, a leading + and spaces, like +33612345678")
    if region is None and not text.lstrip().startswith("+"):
        raise ValueError("must begin with + and a country code, like +33612345678")
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise ValueError(f"is not a phone number: {error}") from error
    if number.extension or number.country_code in _NO_COUNTRY:
        raise ValueError("must be a number of a country, without extension")
    if not phonenumbers.is_possible_number(number) or len(str(number.national_number)) < 6:
        raise ValueError("has too few or too many digits for its country")
    if (dear := _DEAR.get(phonenumbers.number_type(number))) or _is_premium(number):
        raise ValueError(f"is {dear or 'a premium rate number'}: no SMS is sent there")
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def _is_premium(number: phonenumbers.PhoneNumber) -> bool:
    """North America's 900 numbers, also those that nobody has yet and that no table calls premium."""
    return bool(number.country_code == 1 and str(number.national_number).startswith("900"))
