"""What a broker's refusals mean, in words that help."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edge.config import parse
from edge.errors import InputError
from edge.publish.broker_login import BrokerLogin, broker_login, explain, explain_refusal

TO = BrokerLogin("box", 1883, username="edge", password="s3cret")
CAMERAS = "cameras: {gate: {source: {type: file, path: x}}}"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EHOSTUNREACH, "No route to host"), "is not reachable; check the network"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "is not reachable"),
        (TimeoutError(), "does not answer; check the address"),
        (ConnectionResetError(), "closed the connection at once"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "Cannot assign requested address"),
        (ValueError("s3cret"), "ValueError"),
    ],
)
def test_network_errors(error: Exception, message: str) -> None:
    text = explain(error, TO)
    assert text.startswith("broker box:1883: ")
    assert message in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Not authorized", "refuses the login of user 'edge'"),
        ("Bad user name or password", "check mqtt.username and mqtt.password_file"),
        ("Session taken over", "another client connected as 'me'; give every box its own node.id and node.site"),
        ("Client identifier not valid", "refuses the client id 'me'"),
        ("Server unavailable", "busy or going down"),
        ("Server shutting down", "busy or going down"),
        ("Malformed packet", "Malformed packet"),
    ],
)
def test_reasons_of_the_broker(reason: str, message: str) -> None:
    assert message in explain_refusal(reason, TO, "me")


def test_the_password_is_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pa ss\n")
    text = CAMERAS + "\nmqtt: {url: 'mqtts://b', username: u, password_file: secret, ca_file: ca.pem}"
    found = broker_login(parse(text, tmp_path / "config.yaml"))
    assert found.password == "pa ss"
    assert (found.host, found.port, found.tls, found.ca_file) == ("b", 8883, True, tmp_path / "ca.pem")
    assert "pa ss" not in repr(found)


def test_a_password_from_the_environment() -> None:
    text = CAMERAS + '\nmqtt: {username: u, password: "${SECRET}"}'
    assert broker_login(parse(text, env={"SECRET": "x"})).password == "x"


def test_mqtt_off_is_bad_input() -> None:
    with pytest.raises(InputError, match="mqtt is off"):
        broker_login(parse(CAMERAS + "\nmqtt: null"))
