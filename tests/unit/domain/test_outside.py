"""Which URLs and addresses of strangers may be called: the hostile inputs 76 and 79, each by name."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outside import UrlRefused, is_public, read_url


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://hooks.example", "hooks.example", 443, "/"),
        ("https://Hooks.Example./a/b?c=d&e=%20", "hooks.example", 443, "/a/b?c=d&e=%20"),
        ("https://hooks.example:8443/a", "hooks.example", 8443, "/a"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://93.184.215.14/hook", "93.184.215.14", 443, "/hook"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", 443, "/"),
    ],
)
def test_an_ordinary_url_is_taken(url: str, host: str, port: int, path: str) -> None:
    target = read_url(url)

    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "0x7f.1",
        "[::ffff:169.254.169.254]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[::7f00:1]",
        "[fe80::1%25eth0]",
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",  # noqa: S104  # an address to be refused
        "１２７.0.0.1",
    ],
)
def test_an_address_inside_is_refused_in_every_dress(scheme: str, host: str) -> None:
    with pytest.raises(UrlRefused):
        read_url(f"{scheme}://{host}/hook")


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pw@host.example/",
        "https://user@host.example/",
        "https://@host.example/",
        "https://host.example:22/",
        "https://host.example:80/",
        "https://host.example:0/",
        "https://host.example:99999/",
        "https://host.example:x/",
        "http://host.example/",
        "gopher://host.example/",
        "file:///etc/passwd",
        "ftp://host.example/",
        "https://host.example\\@evil.example/",
        "https://evil.example#@host.example/",
        "https://evil.example/#",
        "//host.example/",
        "host.example",
        "https://",
        "https:///path",
        "https://.example/",
        "https://a..b.example/",
        "https://exa mple/",
        "https://host.example/\r\nHost: evil",
        "https://host.example/\ttab",
        "https://h\u00f6st.example/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://host.example/" + "x" * 2000,
        "",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        read_url(url)


def test_what_the_operator_named_may_be_called_over_http_and_on_any_port_and_nothing_else() -> None:
    inside = frozenset({"localhost", "::1"})

    target = read_url("http://localhost:5000/hook", inside=inside)

    assert (target.is_inside, target.port, target.netloc) == (True, 5000, "localhost:5000")
    assert read_url("http://[::1]:5000/", inside=inside).netloc == "[::1]:5000"
    for url in ("http://localhost.evil.example/", "http://127.0.0.1:5000/", "gopher://localhost/"):
        with pytest.raises(UrlRefused):
            read_url(url, inside=inside)


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:93.184.215.14", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("192.0.2.1", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
        ("239.1.1.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("2002:5db8:d822::1", False),
        ("3fff::1", False),
        ("fc00::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_an_address_is_public_or_it_is_not(address: str, is_so: bool) -> None:
    assert is_public(ip_address(address)) is is_so


@given(st.text(max_size=60) | st.text(st.sampled_from("htps:/@.#?\\[]%0127xa-_ "), max_size=40).map("https://".__add__))
def test_whatever_the_text_it_is_taken_or_refused(text: str) -> None:
    try:
        target = read_url(text)
    except UrlRefused:
        return

    assert target.scheme == "https"
    assert "@" not in target.netloc
    assert target.path.startswith("/")
