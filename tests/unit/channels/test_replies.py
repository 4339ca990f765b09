"""What SMTP replies mean."""

import pytest

from channels.email.pool import SmtpServer
from channels.email.replies import Stage, failure
from domain.errors import DeliveryFailure, Misconfigured, Permanent, RecipientGone, Throttled, Transient
from domain.reasons import Reason


@pytest.mark.parametrize(
    ("code", "text", "stage", "kind", "reason"),
    [
        (550, "5.1.1 no such user", Stage.RCPT, RecipientGone, Reason.ADDRESS_REJECTED),
        (550, "5.1.10 null MX", Stage.RCPT, RecipientGone, Reason.ADDRESS_REJECTED),
        (556, "no mail here", Stage.RCPT, RecipientGone, Reason.ADDRESS_REJECTED),
        (550, "no", Stage.RCPT, Permanent, Reason.ADDRESS_REJECTED),
        (550, "5.7.1 spam", Stage.RCPT, Permanent, Reason.ADDRESS_REJECTED),
        (552, "5.2.2 mailbox full", Stage.RCPT, Permanent, Reason.ADDRESS_REJECTED),
        (552, "too big", Stage.DATA, Permanent, Reason.CONTENT_TOO_LARGE),
        (552, "5.3.4 too big", Stage.MAIL, Permanent, Reason.CONTENT_TOO_LARGE),
        (554, "5.6.0 bad content", Stage.DATA, Permanent, Reason.CONTENT_REJECTED),
        (554, "spam", Stage.DATA, Permanent, Reason.CONTENT_REJECTED),
        (553, "sender not allowed", Stage.MAIL, Permanent, Reason.PROVIDER_REJECTED),
        (451, "4.7.1 greylisted", Stage.RCPT, Transient, Reason.ADDRESS_DEFERRED),
        (450, "busy", Stage.RCPT, Transient, Reason.ADDRESS_DEFERRED),
        (452, "4.2.2 mailbox full", Stage.RCPT, Transient, Reason.ADDRESS_DEFERRED),
        (451, "4.3.2 out of order", Stage.RCPT, Transient, Reason.PROVIDER_UNAVAILABLE),
        (451, "local error", Stage.DATA, Transient, Reason.PROVIDER_UNAVAILABLE),
        (421, "closing", Stage.RCPT, Transient, Reason.PROVIDER_UNAVAILABLE),
        (421, "4.4.5 slower", Stage.RCPT, Throttled, Reason.PROVIDER_THROTTLED),
        (535, "5.7.8 wrong password", Stage.CONNECT, Transient, Reason.PROVIDER_CREDENTIALS),
        (530, "authenticate first", Stage.MAIL, Transient, Reason.PROVIDER_CREDENTIALS),
        (554, "no service for you", Stage.CONNECT, Transient, Reason.PROVIDER_UNAVAILABLE),
        (499, "4.99999 nonsense", Stage.DATA, Transient, Reason.PROVIDER_UNAVAILABLE),
        (450, "5.1.1 contradicts itself", Stage.RCPT, Transient, Reason.ADDRESS_DEFERRED),
    ],
)
def test_a_reply_means_what_the_tables_say(
    code: int, text: str, stage: Stage, kind: type[DeliveryFailure], reason: Reason
) -> None:
    meant = failure(code, text, stage)

    assert type(meant) is kind
    assert meant.reason is reason
    assert meant.answer.startswith(str(code))


def test_a_replys_words_are_kept_short_and_printable() -> None:
    meant = failure(550, "5.1.1 no\r\n\x1b[31m" + "x" * 10_000, Stage.RCPT)

    assert len(meant.answer) <= 200
    assert meant.answer.isprintable()


def test_a_url_says_where_how_and_who() -> None:
    plain = SmtpServer.parse("smtp://127.0.0.1:2525")
    private = SmtpServer.parse("smtps://me%40x:p%2Fw@mail.example.com")
    submission = SmtpServer.parse("smtp://me:pw@mail.example.com")

    assert (plain.host, plain.port, plain.username, plain.start_tls) == ("127.0.0.1", 2525, None, None)
    assert (private.port, private.username, private.password, private.start_tls) == (465, "me@x", "p/w", False)
    assert (submission.port, submission.start_tls) == (587, True)
    assert "p/w" not in repr(private)


@pytest.mark.parametrize("url", ["http://x", "smtp://", "mail.example.com:25", "smtp://x:port", "smtp://x:99999"])
def test_a_url_of_another_kind_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_SMTP_URL"):
        SmtpServer.parse(url)
