"""Values are data and templates are locked in: what attackers try, in values and in templates."""

from typing import Any

import pytest

from domain.content import EmailContent, SmsContent
from domain.errors import Misconfigured, Permanent
from domain.lanes import Channel
from domain.reasons import Reason
from templates.links import unsafe_scheme
from templates.render import Person, render
from tests.unit.templates.conftest import Write

NOBODY = Person(None, None, None)
PAGE = {"email.subject.txt": "{{ x }}", "email.txt": "{{ x }}", "email.html": '<p title="{{ x }}">{{ x }}</p>'}


def _sms(write: Write, words: str, data: dict[str, Any]) -> str:
    content = render(write({"sms.txt": words}), Channel.SMS, data, locale=None, person=NOBODY, unsubscribe_url=None)
    assert isinstance(content, SmsContent)
    return content.text


def _email(write: Write, files: dict[str, str], data: dict[str, Any]) -> EmailContent:
    content = render(write(files), Channel.EMAIL, data, locale=None, person=NOBODY, unsubscribe_url=None)
    assert isinstance(content, EmailContent)
    return content


@pytest.mark.parametrize("value", ["{{7*7}}", "{% for i in range(9) %}x{% endfor %}", "{# hidden #}", "${7*7}"])
def test_a_template_in_a_value_stays_literal(write: Write, value: str) -> None:
    content = _email(write, PAGE, {"x": value})

    assert content.subject == content.text == value
    assert content.html == f'<p title="{value}">{value}</p>'


def test_markup_in_a_value_is_escaped_in_html_and_literal_elsewhere(write: Write) -> None:
    value = "<script>alert('1')</script>\" onload=\"x"

    content = _email(write, PAGE, {"x": value})
    sms = _sms(write, "{{ x }}", {"x": value})

    escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&#34; onload=&#34;x"
    assert content.html == f'<p title="{escaped}">{escaped}</p>'
    assert content.subject == content.text == sms == value


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " \tjava\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html;base64,PHNjcmlwdD4=",
        "vbscript:x",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("link", ['<a href="{{ x }}">', "<a class=b HREF = '{{ x }}'>", '<img src="{{ x }}">'])
def test_a_link_that_runs_code_is_refused(write: Write, link: str, url: str) -> None:
    with pytest.raises(Permanent, match="not for readers") as raised:
        _email(write, {**PAGE, "email.html": link, "email.subject.txt": "S"}, {"x": url})

    assert raised.value.reason is Reason.TEMPLATE_ERROR


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://example.com/?a=1&amp;b=javascript:x">',
        '<a href="mailto:help@example.com">',
        '<a href="#top">',
        '<p title="see href=javascript:x">href="javascript:x"</p>',
        "5 < 6 href=javascript:x",
    ],
)
def test_harmless_links_and_talk_about_links_pass(html: str) -> None:
    assert unsafe_scheme(html) is None


@pytest.mark.parametrize(
    "words",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ x.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ ['']|map(attribute='__class__')|list|first }}",
        "{{ [x]|sort(attribute='__class__.__name__')|first }}",
        "{{ person.__init__.__globals__ }}",
        "{{ person.__class__ }}",
        "{{ range.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'A'*300000000 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 9**9**9 }}",
        "{{ [0]*900000000 }}",
        "{{ x.center(500000000) }}",
        "{{ x.replace('x', 'xx') }}",
        "{{ x.upper() }}",
        "{{ self.__init__ }}",
        "{{ 1|round(999999999) }}",
        "{{ 1577836800|date('%999999999Y') }}",
        "{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}x",
        "{% for i in range(200) %}{% for j in range(200) %}{% endfor %}{% endfor %}x",
        "{% for i in range(2000) %}{% for j in range(0) %}{% for k in range(9000) %}{% endfor %}{% endfor %}"
        "{% for k in range(9000) %}{% endfor %}{% endfor %}x",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ],
)
def test_what_reaches_out_of_the_sandbox_or_grows_without_end_fails_at_once(write: Write, words: str) -> None:
    with pytest.raises(Permanent) as raised:
        _sms(write, words, {"x": "x"})

    assert raised.value.reason is Reason.TEMPLATE_ERROR


@pytest.mark.parametrize(
    "name", ["lipsum(n=100000)", "cycler('a')", "cycler.x", "joiner()", "namespace()", "dict()", "config"]
)
def test_there_are_no_globals(write: Write, name: str) -> None:
    with pytest.raises(Permanent, match="is undefined") as raised:
        _sms(write, "{{ " + name + " }}", {})

    assert raised.value.reason is Reason.TEMPLATE_MISSING_VARIABLE


@pytest.mark.parametrize(
    "words",
    [
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import path %}",
        "{% extends 'base' %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ ''|attr('__class__') }}",
        "{{ x|center(500000000) }}",
        "{{ 'a\n'|indent(5000000) }}",
        "{{ [1]|batch(100000000) }}",
        "{{ [1]|slice(100000000) }}",
        "{{ x|replace('x', 'xx') }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ x|safe }}",
    ],
)
def test_what_is_never_needed_is_refused_when_the_message_is_read(write: Write, words: str) -> None:
    with pytest.raises(Misconfigured, match=r"sms\.txt:\d: "):
        write({"sms.txt": words})
