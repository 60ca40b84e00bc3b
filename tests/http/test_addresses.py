"""What an address counts as."""

import pytest

from mcpd.http.addresses import limit_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:DB8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::1", "::1"),
        ("unix", "unix"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_an_ipv6_address_counts_as_its_network(address, key):
    assert limit_key(address) == key
