"""Where the service sends to: public addresses and networks that a setting names, and nowhere else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.errors import ConfigInvalid
from service.settings import load_settings
from service.webhooks.addresses import AddressGuard, AddressRefused, parse_networks

CLOSED_V4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
CLOSED_V6 = [
    "::/128", "::1/128", "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32",
    "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip
GUARD = AddressGuard()


def within(networks):
    return st.one_of([st.ip_addresses(network=network) for network in networks])


@given(within(CLOSED_V4))
def test_no_address_of_a_closed_network_is_allowed(address):
    assert not GUARD.allows(str(address))
    # Nor in any of its spellings in IPv6.
    number = int(address)
    for prefix in ("::ffff:0:0", "::", "64:ff9b::", "64:ff9b:1::"):
        assert not GUARD.allows(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number)))
    assert not GUARD.allows(str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80))))


@given(within(CLOSED_V6))
def test_no_address_of_a_closed_network_of_ipv6_is_allowed(address):
    assert not GUARD.allows(str(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_public_addresses_are_allowed_with_tls(address):
    assert GUARD.allows(address)
    assert not GUARD.allows(address, plain=True)


def test_a_named_network_is_allowed_without_tls_too():
    guard = AddressGuard(parse_networks("127.0.0.0/8, fd00:1::/64"))
    for address in ("127.0.0.1", "127.9.9.9", "fd00:1::7"):
        assert guard.allows(address)
        assert guard.allows(address, plain=True)
    for address in ("10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00:2::7", "fd00:1::7%eth0"):
        assert not guard.allows(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://2130706433/x",  # 127.0.0.1 as one number
        "https://0x7f.1/x",
        "https://017700000001/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "http://1.1.1.1/x",  # not encrypted
        "https://user@1.1.1.1/x",
        "https://user:secret@1.1.1.1/x",
        "https://1.1.1.1/x#part",
        "https:///x",
        "https://1.1.1.1:99999/x",
        "https://[::1/x",
        "ftp://1.1.1.1/x",
        "file:///etc/hosts",
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url):
    with pytest.raises(AddressRefused):
        GUARD.check(url)


def test_a_url_of_a_public_address_is_taken():
    GUARD.check("https://1.1.1.1:8443/hook?of=roadscribe")
    GUARD.check("https://nobody-has-this-name.invalid/hook")  # it may get an address; it is checked again anyway


def test_of_several_addresses_only_those_allowed_are_tried(monkeypatch):
    both = [(2, 1, 6, "", ("10.0.0.1", 443)), (2, 1, 6, "", ("1.1.1.1", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: both)
    assert GUARD.resolve("two.example", 443, plain=False) == ["1.1.1.1"]


def test_a_wrong_setting_is_named(monkeypatch):
    with pytest.raises(ConfigInvalid, match=r"10\.1\.0\.1/16"):
        parse_networks("10.1.0.1/16")
    monkeypatch.setenv("ROADSCRIBE_WEBHOOK_NETWORKS", "nonsense")
    with pytest.raises(ConfigInvalid, match="nonsense"):
        load_settings()
