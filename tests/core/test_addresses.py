"""Which addresses may be called: reliability.md's target list, row by row."""

import ipaddress

import pytest

from core.addresses import OutboundRefused, as_address, is_public, may_connect, target_of

REFUSED = str.split(
    """
127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255
169.254.169.254 169.254.0.1 100.64.0.1 100.100.100.200 100.127.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16
::1 :: ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::7f00:1 64:ff9b::808:808
2002:7f00:1:: 2002:808:808:: ::127.0.0.1 ::8.8.8.8 fec0::1 ff02::1 ff0e::1 fd00:ec2::254 fc00::1 fe80::1 100::1
2001::1 2001:0:7f00:1:: 2001:10::1 2001:db8::1 3fff::1 5f00::1 fe80::1%1 4000::1
"""
)

ALLOWED = str.split(
    "1.1.1.1 8.8.8.8 93.184.216.34 172.15.255.255 172.32.0.1 "
    "100.63.255.255 100.128.0.1 192.0.1.1 2606:4700::1111 2a00:1450:4001::1"
)

# Spellings that resolvers take for an address, names of ourselves, and tricks between parsers.
REFUSED_URLS = str.split(
    """
https://127.0.0.1/ https://127.1/ https://2130706433/ https://0x7f000001/ https://0177.0.0.1/ https://017700000001/
https://0/ https://0.0.0.0/ https://localhost/ https://LOCALHOST./ https://a.localhost/ https://[::1]/ https://[::]/
https://[::ffff:127.0.0.1]/ https://[64:ff9b::7f00:1]/ https://[2002:7f00:1::]/ https://[fec0::1]/ https://[ff02::1]/
https://169.254.169.254/latest/meta-data/ https://[fd00:ec2::254]/ https://[fe80::1%25eth0]/ https://0x7f.0.0.1/
https://１２７.０.０.１/ https://①②⑦.⓪.⓪.①/ https://127。0。0。1/ https://1.2.3/ https://1.2.3.0x4/ https://256.1.1.1/
http://agent.example.com/ https://agent.example.com:80/ https://agent.example.com:8443/ https://agent.example.com:22/
file:///etc/passwd gopher://agent.example.com/ ftp://agent.example.com/ dict://agent.example.com/ unix:/run/x.sock
data:text/plain,x javascript:alert(1) //agent.example.com/ agent.example.com https:/agent.example.com https:// https:///x
https://ok@10.0.0.1/ https://ok:pw@agent.example.com/ https://agent.example.com\\@10.0.0.1/ https://a.example.com#@10.0.0.1
https://agent.example.com/#fragment https://-.example.com/ https://agent..example.com/ https://agent.example.com:x/
https://agent.example.com:99999/ https://münchen.example/ https://[1.2.3.4]/ https://[::1/ https://agent.example.com:0/
"""
)


@pytest.mark.parametrize("address", REFUSED)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_that_may_lead_inward_is_refused(url: str) -> None:
    with pytest.raises(OutboundRefused):
        target_of(url)


@pytest.mark.parametrize("trick", ["\r\nX: y", "\n", "\t", " ", "\x00", "é", '"', "<", "\\"])
def test_a_url_with_unprintable_or_foreign_letters_is_refused(trick: str) -> None:
    with pytest.raises(OutboundRefused):
        target_of(f"https://agent.example.com/ho{trick}ok")
    with pytest.raises(OutboundRefused):
        target_of(f"https://agent.example.com{trick}")


def test_a_url_too_long_is_refused() -> None:
    with pytest.raises(OutboundRefused):
        target_of("https://agent.example.com/" + "x" * 2_000)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://agent.example.com", "agent.example.com", 443, "/", "agent.example.com"),
        ("https://AGENT.Example.com./hook?a=1&b=@x", "agent.example.com", 443, "/hook?a=1&b=@x", "agent.example.com"),
        ("https://agent.example.com:443/a%20b", "agent.example.com", 443, "/a%20b", "agent.example.com"),
        ("https://1.1.1.1/", "1.1.1.1", 443, "/", "1.1.1.1"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
        ("https://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", 443, "/", "xn--mnchen-3ya.example"),
    ],
)
def test_ordinary_urls_are_understood(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)


def test_our_own_address_is_refused(settings: object) -> None:
    settings.BASE_URL = "https://cordboard.example.com"  # type: ignore[attr-defined]
    with pytest.raises(OutboundRefused, match="circle"):
        target_of("https://Cordboard.example.com/hook")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/",
        "http://10.1.2.3/",
        "https://10.1.2.3:9000/",
        "http://[fd00::5]:81/",
        "http://agents.corp/",
    ],
)
def test_the_operator_may_list_internal_targets(url: str, settings: object) -> None:
    settings.INTERNAL_HOSTS = ["127.0.0.1", "10.0.0.0/8", "fd00::/16", "Agents.corp"]  # type: ignore[attr-defined]
    assert target_of(url).internal


def test_a_listed_name_may_lead_anywhere_and_another_may_not(settings: object) -> None:
    settings.INTERNAL_HOSTS = ["agents.corp"]  # type: ignore[attr-defined]
    inside = as_address("10.0.0.7")
    assert inside is not None
    assert may_connect(target_of("http://agents.corp/"), inside)
    assert not may_connect(target_of("https://agents.example.com/"), inside)


def test_plain_http_never_goes_to_a_public_address(settings: object) -> None:
    settings.DEVELOPMENT = True  # type: ignore[attr-defined]
    outside = as_address("8.8.8.8")
    assert outside is not None
    assert not may_connect(target_of("http://localhost:9000/"), outside)


def test_development_allows_loopback_over_http(settings: object) -> None:
    settings.DEVELOPMENT = True  # type: ignore[attr-defined]
    assert target_of("http://localhost:9000/hook").internal
    assert target_of("http://127.0.0.1:9000/hook").internal
    with pytest.raises(OutboundRefused):
        target_of("http://10.0.0.1:9000/hook")
