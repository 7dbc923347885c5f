"""`wristmir web` as systemd runs it, and the pages over TLS."""

from __future__ import annotations

import hashlib
import http.client
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import Authority
from plugin import free_port
from site_rig import Visit, accounts, site_of, with_web
from station import LOOPBACK, eventually

from deploy.errors import ServiceUnavailableError
from deploy.settings import Settings, parse
from deploy.state import key_of_site
from deploy.web.server import WebServer
from deploy.web.settings import WebSettings
from deploy.web.users import Role
from listener.ledger import Ledger

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation whose ledger is there."""
    made = parse({"state_dir": str(tmp_path / "state"), "listener": {}})
    key_of_site(made)
    Ledger(made.ledger_url).close()
    accounts(made, admin=(Role.IT,))
    return made


def test_the_pages_are_served_over_tls_and_cookies_keep_to_it(
    settings: Settings, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "tls")
    own = authority.issue("pages", LOOPBACK)
    chosen = with_web(settings, certificate=own.certificate, private_key=own.private_key)
    with site_of(chosen) as address:
        host, port = address.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=str(authority.file))
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
        form = "name=admin&password=an+invented+password"
        headers = {"Origin": address, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", form, headers)
        answer = connection.getresponse()
        assert answer.status == 303
        cookie = str(answer.getheader("set-cookie"))
        assert cookie.startswith("__Host-wristmir=")
        assert "; secure" in cookie.lower()
        assert str(answer.getheader("strict-transport-security")).startswith("max-age=")
        connection.close()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(authority.file)
        old.set_ciphers("AES256-SHA256:@SECLEVEL=0")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            pytest.raises(OSError, match=r"(?i)handshake|eof|reset"),
        ):
            old.wrap_socket(plain, server_hostname=host)


def test_it_tells_systemd_when_it_is_ready_and_that_it_lives_and_stops_when_told(
    settings: Settings, tmp_path: Path
) -> None:
    port, told = free_port(), tmp_path / "notify"
    config = tmp_path / "wristmir.toml"
    config.write_text(
        f'state_dir = "{settings.state_dir}"\n[listener]\n[web]\nport = {port}\n', encoding="utf-8"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(told))
        channel.settimeout(60)
        command = [sys.executable, "-m", "deploy.cli", "web", "--config", str(config)]
        process = subprocess.Popen(
            command, env={"NOTIFY_SOCKET": str(told), "PATH": ""}, stderr=subprocess.PIPE
        )
        try:
            said = {channel.recv(100), channel.recv(100)}
            assert said == {b"READY=1", b"WATCHDOG=1"}
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
            connection.request("GET", "/login")
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert channel.recv(100) == b"STOPPING=1"
    assert b"Traceback" not in errors
    assert b"stopped" in errors
    assert b"/login" not in errors  # no address is logged


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceUnavailableError, match=str(port)):
            WebServer(WebSettings(port=port))


def test_behind_a_proxy_its_word_counts_only_where_it_is_trusted(settings: Settings) -> None:
    audit = settings.state_dir.parent / "audit.xml"
    rows = [{"name": "log", "kind": "file", "path": str(audit)}]
    listener = parse(
        {"state_dir": str(settings.state_dir), "listener": {"audit": {"destinations": rows}}}
    )
    for trusted, address in (((), LOOPBACK), ((LOOPBACK,), "10.9.8.7")):
        audit.unlink(missing_ok=True)
        public = "https://wristmir.example.org"
        chosen = with_web(listener, public_url=public, trusted_proxies=trusted, port=free_port())
        with site_of(chosen):
            browser = Visit(f"http://{LOOPBACK}:{chosen.web.port}")
            headers = {"Host": "wristmir.example.org", "X-Forwarded-For": "10.9.8.7"}
            answer = browser.post(
                "/login", {"name": "admin", "password": "wrong"}, Origin=public, **headers
            )
            assert answer.status == 401
            assert eventually(lambda: audit.exists() and "110122" in audit.read_text("ascii"))
            (line,) = [one for one in audit.read_text("ascii").splitlines() if "110122" in one]
            assert f'NetworkAccessPointID="{address}"' in line
            assert browser.get("/login").status == 421  # by another name than the public one


def test_programs_with_a_token_ask_for_matches_and_search_what_is_kept(
    settings: Settings, tmp_path: Path
) -> None:
    token, tokens = "an-invented-token", tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"viewer {hashlib.sha256(token.encode()).hexdigest()}\n", encoding="ascii")
    study = "1.2.826.0.1.3680043.8.498.1"
    with site_of(with_web(settings, tokens=tokens)) as address:

        def answered(method: str, path: str, shown: str = token) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
            connection.request(method, path, headers={"Authorization": f"Bearer {shown}"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer

        assert answered("POST", f"/studies/{study}/matches").status == 404  # it is not here
        assert answered("POST", f"/studies/{study}/matches", "another").status == 401
        assert answered("GET", "/dicomweb/studies").status in (200, 204)
        assert answered("GET", "/dicomweb/studies", "another").status == 401
        assert answered("GET", "/results").status == 303  # a token opens no page


def test_without_a_file_of_tokens_programs_get_nothing(settings: Settings) -> None:
    with site_of(with_web(settings)) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        connection.request("GET", "/dicomweb/studies", headers={"Authorization": "Bearer x"})
        assert connection.getresponse().status in (303, 404)
        connection.close()
