"""Who sits at the machine: what a request must look like, and what gives away another one."""

import pytest

from img2prompt.web.shared.visitor import is_local

HERE = [("Host", "localhost:8501"), ("Origin", "http://localhost:8501")]


@pytest.mark.parametrize("address", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.10", "::1"])
def test_a_server_that_listens_to_this_machine_only(address):
    assert is_local(address, None, HERE)


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "0.0.0.0",
        "::",
        "*",
        "192.168.1.5",
        "captions.example.org",
        "unix:///run/app.sock",
        "127.1",
        1,
        "[::1]",
    ],
)
def test_a_server_that_others_reach(address):
    assert not is_local(address, None, HERE)


@pytest.mark.parametrize("peer", [None, "127.0.0.1", "127.0.0.2", "::1"])
def test_a_peer_on_this_machine(peer):
    assert is_local("localhost", peer, HERE)


@pytest.mark.parametrize("peer", ["192.168.1.5", "2001:db8::1", "fe80::1", "", "unknown", object()])
def test_a_peer_from_elsewhere(peer):
    assert not is_local("localhost", peer, HERE)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8501", "LocalHost:8501", "127.0.0.1", "127.0.0.1:80", "127.255.0.9:8501"]
    + ["[::1]", "[::1]:8501", "[0:0:0:0:0:0:0:1]:8501"],
)
def test_a_host_that_is_this_machine(host):
    assert is_local("localhost", None, [("Host", host)])
    assert is_local("localhost", None, [("host", host), ("origin", f"http://{host}")])


@pytest.mark.parametrize(
    "host",
    ["captions.example.org", "captions.example.org:8501", "localhost.example.org", "127.0.0.1.example.org"]
    + ["192.168.1.5:8501", "[2001:db8::1]:8501", "0.0.0.0:8501", "[::]:8501", "[::2]"]
    # what some read as this machine
    + [
        "localhost.",
        "app.localhost",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.01",
    ]
    + ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]", "::1", "::1:8501", "[127.0.0.1]", "[localhost]"]
    # what some read another part of
    + ["user@localhost", "localhost@example.org", "localhost:8501@example.org", "localhost#example.org"]
    + ["localhost/example.org", "localhost\\@example.org", "http://localhost", "localhost,example.org"]
    + ["localhost:8501, example.org", "localhost localhost", "example.org:127.0.0.1", "[::1]example.org"]
    # what is no host
    + [
        "",
        " ",
        ":8501",
        "localhost:",
        "localhost:port",
        "localhost:8501:8501",
        "localhost:999999",
        "localhost\n",
    ]
    + [
        " localhost",
        "[::1",
        "::1]",
        "[]",
        "[:::1]",
        "127.0.0.256",
        "127.0.0.1.",
        "localhost\0",
        "l\u00f6calhost",
    ]
    + ["\uff11\uff12\uff17.0.0.1", "localhost:\u0661", "loc\u0430lhost", "\u2113ocalhost", "127\u30020.0.1"],
)
def test_any_other_host(host):
    assert not is_local("localhost", None, [("Host", host)])
    assert not is_local("localhost", None, [("Host", host), ("Origin", f"http://{host}")])


def test_no_host_or_several():
    assert not is_local("localhost", None, [])
    assert not is_local("localhost", None, [("Origin", "http://localhost:8501")])
    assert not is_local("localhost", None, [("Host", "localhost"), ("host", "captions.example.org")])


@pytest.mark.parametrize(
    "origin",
    ["http://captions.example.org:8501", "https://captions.example.org", "null", "", "localhost:8501"]
    + ["http://localhost:9000", "http://127.0.0.1:8501", "http://localhost:8501@example.org", "file://"]
    + ["http://localhost:8501.example.org", "http://user@localhost:8501"],
)
def test_a_page_of_another_origin(origin):
    assert not is_local("localhost", None, [("Host", "localhost:8501"), ("Origin", origin)])


def test_behind_encryption():
    assert is_local("localhost", None, [("Host", "localhost:8501"), ("Origin", "https://localhost:8501")])


@pytest.mark.parametrize(
    "name",
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"]
    + [
        "X-Forwarded-Server",
        "X-Forwarded-Prefix",
        "X-Forwarded-By",
        "X-Original-Forwarded-For",
        "X-Forwarded",
    ]
    + [
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "CF-Ray",
        "Via",
    ]
    + ["Client-IP", "Remote-Addr", "Fastly-Client-IP", "Fly-Client-IP", "X-Azure-ClientIP", "X-Remote-IP"]
    + ["X-Original-Host", "X-Original-URL", "X-Envoy-External-Address", "X-Amzn-Trace-Id", "X-ProxyUser-Ip"]
    + [
        "X-Appengine-User-IP",
        "CDN-Loop",
        "X-ARR-ClientCert",
        "x-forwarded-for",
        "VIA",
        "FORWARDED",
        "x-real-ip",
    ],
)
@pytest.mark.parametrize("value", ["127.0.0.1", "localhost", ""])
def test_a_proxy_in_between(name, value):
    assert not is_local("localhost", None, [*HERE, (name, value)])


def test_what_a_browser_sends_besides():
    names = ["Connection", "Pragma", "Cache-Control", "User-Agent", "Upgrade", "Accept", "Accept-Encoding"]
    names += [
        "Accept-Language",
        "Cookie",
        "Referer",
        "DNT",
        "Priority",
        "Authorization",
        "Sec-GPC",
        "Sec-CH-UA",
    ]
    names += ["Sec-CH-UA-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User"]
    names += [
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Version",
    ]
    names += ["Upgrade-Insecure-Requests", "If-None-Match", "X-Streamlit-User", "X-Xsrftoken", "Keep-Alive"]
    assert is_local("localhost", None, [*HERE, *((name, "anything") for name in names)])
