"""The broker's address and login, and explanations of its errors: sentences that say what to do.

The password is only in `BrokerLogin` and appears in no text.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from edge.config import LoadedConfig
from edge.errors import InputError, SinkError


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Everything needed to log in to a broker."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 7 * 86400

    @property
    def address(self) -> str:
        """The broker as text."""
        return f"{self.host}:{self.port}"


def broker_login(loaded: LoadedConfig) -> BrokerLogin:
    """The configuration's broker with its password read; InputError when that file cannot be read or mqtt is off."""
    mqtt = loaded.config.mqtt
    if mqtt is None:
        raise InputError(f"{loaded.path}: mqtt is off (mqtt: null)")
    password = None if mqtt.password is None else mqtt.password.get_secret_value()
    if mqtt.password_file is not None:
        path = loaded.resolve(mqtt.password_file)
        try:
            password = path.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(loaded.fault(("mqtt", "password_file"), f"{path} cannot be read: {why}")) from None
    ca_file, cert_file, key_file = (
        None if file is None else loaded.resolve(file) for file in (mqtt.ca_file, mqtt.cert_file, mqtt.key_file)
    )
    return BrokerLogin(
        host=mqtt.host,
        port=mqtt.port,
        tls=mqtt.tls,
        username=mqtt.username,
        password=password,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        keepalive_s=mqtt.keepalive_s,
        session_expiry_s=mqtt.session_expiry_s,
    )


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(to: BrokerLogin) -> ssl.SSLContext:
    """TLS 1.2 or newer that checks the broker's name and certificate; SinkError names a file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=None if to.ca_file is None else str(to.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SinkError(f"mqtt.ca_file: {to.ca_file} is no readable PEM certificate ({_reason(error)})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _ClosingSocket
    if to.cert_file is not None:
        try:
            context.load_cert_chain(to.cert_file, to.key_file, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise SinkError(
                f"mqtt.cert_file {to.cert_file} and mqtt.key_file {to.key_file} are no readable pair of PEM "
                f"certificate and unencrypted key ({_reason(error)})"
            ) from None
    return context


def explain(error: Exception, to: BrokerLogin) -> str:
    """What a failed connection attempt means and what to do about it."""
    meaning = _tls(error, to) if isinstance(error, ssl.SSLError) else _network(error, to)
    return f"broker {to.address}: {meaning}"


def explain_closed(to: BrokerLogin) -> str:
    """Explains a connection that ended before the broker answered."""
    return f"broker {to.address}: closed the connection without an answer; {_closed_hint(to)}"


def explain_silent(to: BrokerLogin) -> str:
    """Explains an open connection without an answer."""
    return f"broker {to.address}: accepts connections but does not answer as a broker; is this an MQTT port?"


def explain_refusal(reason: str, to: BrokerLogin, client_id: str) -> str:
    """What the reason in a CONNACK or DISCONNECT means."""
    at, low = f"broker {to.address}", reason.lower()
    if "user name" in low or "not authori" in low:
        who = "an anonymous login" if to.username is None else f"the login of user {to.username!r}"
        return f"{at}: refuses {who} ({reason}); check mqtt.username and mqtt.password_file"
    if "taken over" in low:
        return f"{at}: another client connected as {client_id!r}; give every box its own node.id and node.site"
    if "identifier" in low:
        return f"{at}: refuses the client id {client_id!r}; check what the broker allows"
    if any(word in low for word in ("unavailable", "busy", "quota", "rate", "shutting")):
        return f"{at}: is busy or going down ({reason}); trying again"
    return f"{at}: {reason}"


def _network(error: Exception, to: BrokerLogin) -> str:
    unreachable = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
    if isinstance(error, OSError) and error.errno in unreachable:
        return "is not reachable; check the network"
    meanings: list[tuple[type[Exception], str]] = [
        (socket.gaierror, f"the name {to.host!r} is not known; check mqtt.url and the network's name service"),
        (ConnectionRefusedError, "refuses connections; is the broker running, is the port right?"),
        (TimeoutError, "does not answer; check the address, the network and firewalls"),
        (ConnectionError, f"closed the connection at once; {_closed_hint(to)}"),
    ]
    other = f"{type(error).__name__} ({_reason(error)}); check mqtt.url"
    return next((meaning for kind, meaning in meanings if isinstance(error, kind)), other)


def _tls(error: ssl.SSLError, to: BrokerLogin) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, to)
    if any(sign in str(error) for sign in ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF", "RECORD_LAYER_FAILURE")):
        return "does not speak TLS on this port; use mqtt:// or the TLS port (often 8883)"
    return f"no TLS connection ({_reason(error)}); check mqtt.cert_file and the broker's TLS settings"


def _certificate(error: ssl.SSLCertVerificationError, to: BrokerLogin) -> str:
    code, text = error.verify_code, error.verify_message
    if code == 10:
        return "its certificate has expired; renew it (or check this machine's clock)"
    if code == 9:
        return "its certificate is not valid yet; check this machine's clock"
    if code in {62, 64}:
        return f"its certificate is for another name than {to.host!r}; use the name in the certificate in mqtt.url"
    if code in {18, 19, 20, 21}:
        using = "the system's authorities" if to.ca_file is None else f"mqtt.ca_file {to.ca_file}"
        return f"its certificate is not signed by {using}; set mqtt.ca_file to the broker's own authority"
    return f"its certificate is not accepted ({text}); check mqtt.ca_file"


def _closed_hint(to: BrokerLogin) -> str:
    if to.tls:
        return "is this its TLS port (often 8883)? If it wants client certificates, check mqtt.cert_file"
    return "is this an MQTT port without TLS?"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unreadable").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
