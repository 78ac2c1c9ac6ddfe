"""Real mail servers and an MQTT broker on loopback, for tests: started on free ports, always stopped.

    with dovecot() as imap, smtp_server() as smtp, mosquitto() as broker: ...

Each makes a folder of its own: the programs drop to ordinary users, who could not enter pytest's `tmp_path`. A program
that is not installed skips the test by its package's name.
"""

import asyncio
import base64
import contextlib
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.npm import MODULES, ROOT, node
from tests.ports import HOST, free_port

LOGIN = "ann@example.org"
PASSWORD = "correct horse"  # a space and no more: the quoting is tried too
TIMEOUT = 60  # seconds that a program gets to start

_DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
ssl_dh =
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = plain login
default_internal_user = {internal}
default_login_user = {login_user}
default_internal_group = {group}
first_valid_uid = 1
mail_location = maildir:{folder}/mail
mail_max_userip_connections = 100
mailbox_idle_check_interval = 1s
{extra}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""

_MOSQUITTO = """\
persistence true
persistence_location {folder}/
autosave_interval 3600
log_type all
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/rights
{user}
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
certfile {folder}/cert.pem
keyfile {folder}/key.pem
"""


_RADICALE = """\
[server]
hosts = 127.0.0.1:{port}
[auth]
type = htpasswd
htpasswd_filename = {folder}/users
htpasswd_encryption = plain
delay = 0
[rights]
type = owner_only
[storage]
filesystem_folder = {folder}/collections
[web]
type = none
"""


@dataclass
class Dovecot:
    """An IMAP server with one mailbox. `port` speaks plain and STARTTLS, `tls_port` TLS; `ca` is the file to trust."""

    port: int
    tls_port: int
    folder: Path
    owner: tuple[int, int]
    host: str = HOST
    login: str = LOGIN
    password: str = PASSWORD

    @property
    def ca(self) -> Path:
        return self.folder / "cert.pem"

    def create(self, folder: str) -> Path:
        """Make a folder, unless it is there; returns its maildir."""
        box = self.folder / "mail" / ("" if folder == "INBOX" else f".{folder}")
        for part in ("", "cur", "new", "tmp"):
            if not (box / part).is_dir():
                (box / part).mkdir()
                os.chown(box / part, *self.owner)
        return box

    def deliver(self, message: bytes, folder: str = "INBOX") -> None:
        """Put a mail into the maildir, as a delivery agent does: whatever its bytes are."""
        box = self.create(folder)
        name = f"{time.time_ns()}.{uuid.uuid4().hex}.peer"
        (box / "tmp" / name).write_bytes(message)
        os.chown(box / "tmp" / name, *self.owner)
        (box / "tmp" / name).rename(box / "new" / name)

    def mails(self, folder: str = "INBOX") -> list[Path]:
        """The files of a folder; those that were marked as seen end in `S`."""
        return [path for part in ("new", "cur") for path in (self.create(folder) / part).iterdir()]

    def forget_uids(self, folder: str = "INBOX") -> None:
        """Let the server number a folder anew, under another UIDVALIDITY. Disconnect first."""
        box = self.create(folder)
        for path in box.glob("dovecot*"):
            path.unlink()
        uidlist = box / "dovecot-uidlist"
        uidlist.write_text(f"3 V{int(time.time()) + 1000} N1 G{uuid.uuid4().hex}\n")
        os.chown(uidlist, *self.owner)

    def log(self) -> str:
        return (self.folder / "log").read_text()


@dataclass
class Received:
    """A mail that the SMTP server took."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class Smtp:
    """An SMTP server. `refuse` maps recipients (or `MAIL`, `DATA`) to the answer they get, and `too_many` is the answer
    to those beyond `most` of one mail; all may be changed any time.
    """

    port: int
    ca: Path
    refuse: dict[str, str]
    most: int = 100
    too_many: str = "452 4.5.3 Too many recipients"
    after: dict[int, dict[str, str]] = field(default_factory=dict)  # `refuse` once so many mails were taken
    mails: list[Received] = field(default_factory=list)
    host: str = HOST
    login: str = LOGIN
    password: str = PASSWORD


@dataclass
class Mosquitto:
    """An MQTT broker. `login` may do all, `guest` (same password) only read. `stop` and `start` keep sessions and
    messages.
    """

    port: int
    tls_port: int
    folder: Path
    host: str = HOST
    login: str = LOGIN
    password: str = PASSWORD
    guest: str = "guest"
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def ca(self) -> Path:
        return self.folder / "cert.pem"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("mosquitto", "mosquitto"), "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        _wait(self.port, self.process, self.folder / "log")

    def stop(self) -> None:
        if self.process:
            _end(self.process)
            self.process = None

    def subscriptions(self) -> int:
        """How many it has confirmed since its folder was made."""
        return (self.folder / "log").read_text(errors="replace").count("Sending SUBACK")

    def forget(self) -> None:
        """Lose every session and message. Stop first."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


@contextlib.contextmanager
def dovecot(*, idle: bool = True, names: Sequence[str] = (HOST, "localhost"), days: int = 30) -> Iterator[Dovecot]:
    """Dovecot; `idle=False` hides the IDLE capability, `names` and `days` are those of its self-signed certificate."""
    program = _program("dovecot", "dovecot-imapd", "dovecot-core")
    root = os.geteuid() == 0
    me = pwd.getpwuid(os.geteuid())
    owner = pwd.getpwnam("nobody") if root else me
    with _folder() as folder:
        port, tls_port = free_port(), free_port()
        peer = Dovecot(port, tls_port, folder, (owner.pw_uid, owner.pw_gid))
        certificate(folder, names, days=days)
        (folder / "users").write_text(f"{LOGIN}:{{PLAIN}}{PASSWORD}\n")
        for path in (folder / "mail", folder / "run"):
            path.mkdir(mode=0o755)
        os.chown(folder / "mail", *peer.owner)
        (folder / "conf").write_text(
            _DOVECOT.format(
                folder=folder, port=port, tls_port=tls_port, uid=owner.pw_uid, gid=owner.pw_gid,
                internal="dovecot" if root else me.pw_name, login_user="dovenull" if root else me.pw_name,
                group="dovecot" if root else str(me.pw_gid),
                extra="" if idle else "imap_capability = IMAP4rev1 LITERAL+",
            )
        )  # fmt: skip
        process = subprocess.Popen([program, "-F", "-c", str(folder / "conf")], start_new_session=True)
        try:
            _wait(port, process, folder / "log")
            yield peer
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with its children; asked kindly it takes a second
            process.wait()


@contextlib.contextmanager
def mosquitto(*, names: Sequence[str] = (HOST, "localhost"), days: int = 30) -> Iterator[Mosquitto]:
    """Mosquitto; `names` and `days` are those of its self-signed certificate."""
    passwords = _program("mosquitto_passwd", "mosquitto")
    with _folder() as folder:
        peer = Mosquitto(free_port(), free_port(), folder)
        certificate(folder, names, days=days)
        user = "user root" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(
            _MOSQUITTO.format(folder=folder, port=peer.port, tls_port=peer.tls_port, user=user)
        )
        (folder / "rights").write_text(f"user {peer.login}\ntopic readwrite #\nuser {peer.guest}\ntopic read #\n")
        (folder / "passwords").write_text(f"{peer.login}:{peer.password}\n{peer.guest}:{peer.password}\n")
        subprocess.run([passwords, "-U", str(folder / "passwords")], check=True)
        peer.start()
        try:
            yield peer
        finally:
            peer.stop()


@dataclass
class Broker:
    """Another MQTT broker, without TLS. `login` may do all, `guest` (same password) only read."""

    port: int
    host: str = HOST
    login: str = LOGIN
    password: str = PASSWORD
    guest: str = "guest"


@contextlib.contextmanager
def aedes() -> Iterator[Broker]:
    """npm's aedes, which speaks MQTT 3.1.1."""
    if not (MODULES / "aedes").is_dir():
        pytest.skip("not run: aedes is missing; npm could not fetch it")
    provided = json.dumps({"password": PASSWORD, "reader": Broker.guest})
    process = subprocess.Popen(
        [*node()[0], str(ROOT / "tests" / "npm" / "broker.mjs"), provided],
        stdout=subprocess.PIPE,
        env={**os.environ, "AREA_TEST_NPM": str(MODULES.parent)},
    )
    assert process.stdout is not None
    try:
        yield Broker(json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


_RABBITMQ = """\
listeners.tcp = none
mqtt.listeners.tcp.default = 127.0.0.1:{port}
mqtt.allow_anonymous = false
mqtt.subscription_ttl = 86400000
load_definitions = {folder}/definitions.json
loopback_users = none
log.file = false
log.console = true
"""


@contextlib.contextmanager
def rabbitmq() -> Iterator[Broker]:
    """RabbitMQ with its MQTT plugin: a node of its own, which no other program can reach by name."""
    _program("rabbitmq-server", "rabbitmq-server")
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one in /usr/sbin drops its environment
    with _folder() as folder:
        peer, epmd, distribution = Broker(free_port()), free_port(), free_port()
        full = {"vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        # https://www.rabbitmq.com/docs/definitions, https://www.rabbitmq.com/docs/access-control#topic-authorisation
        reading = {"user": peer.guest, "vhost": "/", "exchange": "amq.topic", "write": "^$", "read": ".*"}
        definitions = {
            "users": [{"name": name, "password": PASSWORD, "tags": []} for name in (peer.login, peer.guest)],
            "vhosts": [{"name": "/"}],
            "permissions": [{"user": name, **full} for name in (peer.login, peer.guest)],
            "topic_permissions": [reading],
        }
        (folder / "definitions.json").write_text(json.dumps(definitions))
        (folder / "rabbitmq.conf").write_text(_RABBITMQ.format(folder=folder, port=peer.port))
        (folder / "plugins").write_text("[rabbitmq_mqtt].")
        for name in ("data", "logs"):
            (folder / name).mkdir()
        environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODENAME": f"peer{peer.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": HOST,
        }
        # Erlang's directory of nodes; a node that finds none leaves a daemon behind
        names = subprocess.Popen(["epmd", "-port", str(epmd), "-address", HOST])
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program], stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait(peer.port, process, folder / "log")
            while b"Server startup complete" not in (folder / "log").read_bytes():  # its users come after its ports
                assert process.poll() is None
                time.sleep(0.05)
            yield peer
        finally:
            names.kill()
            names.wait()
            with contextlib.suppress(ProcessLookupError):  # it may not have started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


_ALERTMANAGER = """\
route:
  receiver: area
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: area
    webhook_configs:
      - url: {url}
        http_config:
          authorization:
            credentials: {token}
"""


@contextlib.contextmanager
def alertmanager(url: str, token: str) -> Iterator[str]:
    """Prometheus' Alertmanager, which sends alerts to `url` with a bearer token. Yields its own address."""
    program = _program("prometheus-alertmanager", "prometheus-alertmanager")
    with _folder() as folder:
        port = free_port()
        (folder / "config.yml").write_text(_ALERTMANAGER.format(url=url, token=token))
        options = [f"--config.file={folder}/config.yml", f"--storage.path={folder}/data", "--cluster.listen-address="]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, *options, f"--web.listen-address={HOST}:{port}"], stdout=log, stderr=log
            )
        try:
            _wait(port, process, folder / "log")
            yield f"http://{HOST}:{port}"
        finally:
            _end(process)


_SYNAPSE = """\
server_name: synapse.test
public_baseurl: http://127.0.0.1:{port}/
listeners: [{{port: {port}, type: http, bind_addresses: ["127.0.0.1"], resources: [{{names: [client]}}]}}]
database: {{name: sqlite3, args: {{database: {folder}/database}}}}
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
pid_file: {folder}/pid
log_config: {folder}/log.yaml
macaroon_secret_key: of no matter
form_secret: of no matter
report_stats: false
enable_registration: true
enable_registration_without_verification: true
trusted_key_servers: []
app_service_config_files: [{folder}/area.yaml]
ip_range_blacklist: []
"""


@contextlib.contextmanager
def synapse(hook: str, token: str) -> Iterator[str]:
    """Matrix' Synapse. It tells the application service at `hook` of all rooms. Yields its address."""
    python = Path(sys.prefix) / "servers" / "synapse" / "bin" / "python"
    if not python.exists():
        pytest.skip("not run: synapse is missing (`make test-slow` installs it)")
    with _folder() as folder:
        port = free_port()
        (folder / "homeserver.yaml").write_text(_SYNAPSE.format(folder=folder, port=port))
        (folder / "log.yaml").write_text(
            "version: 1\nformatters: {plain: {format: '%(message)s'}}\n"
            "handlers: {all: {class: logging.StreamHandler, formatter: plain}}\nroot: {level: WARNING, handlers: [all]}\n"
        )
        # https://spec.matrix.org/latest/application-service-api/#registration
        service = {
            "id": "area",
            "url": hook,
            "hs_token": token,
            "as_token": uuid.uuid4().hex,
            "sender_localpart": "area",
        }
        every = [{"exclusive": False, "regex": ".*"}]
        service |= {"namespaces": {"users": every, "rooms": [], "aliases": []}, "rate_limited": False}
        (folder / "area.yaml").write_text(json.dumps(service))
        command = [str(python), "-m", "synapse.app.homeserver", "-c", str(folder / "homeserver.yaml")]
        with (folder / "log").open("wb") as log:
            subprocess.run([*command, "--generate-keys"], check=True, stdout=log, stderr=log)
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(port, process, folder / "log")
            yield f"http://{HOST}:{port}"
        finally:
            _end(process)


_HOME_ASSISTANT = """\
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
input_boolean:
  lamp:
    name: Lamp
input_number:
  temperature:
    min: 0
    max: 50
    initial: 20
template:
  - sensor:
      - name: Outside
        state: "{{{{ states('input_number.temperature') }}}}"
        availability: "{{{{ is_state('input_boolean.lamp', 'off') }}}}"
weather:
  - platform: template
    name: Home
    condition_template: sunny
    temperature_template: "{{{{ states('input_number.temperature') | float }}}}"
    humidity_template: "{{{{ 50 }}}}"
    forecast_daily_template: >
      {{{{ [{{'datetime': '2026-11-23T00:00:00+00:00', 'condition': 'sunny', 'temperature': 21.5}}] }}}}
notify:
  - platform: file
    name: notes
    filename: notes.txt
logger:
  default: warning
"""


@dataclass
class HomeAssistant:
    """Home Assistant, with `input_boolean.lamp`, `input_number.temperature`, and a sensor that shows it unless the lamp
    is on. `notes` is what `notify.notes` has written.
    """

    url: str
    owner: str
    guest: str
    folder: Path

    @property
    def notes(self) -> str:
        path = self.folder / "notes.txt"
        return path.read_text() if path.exists() else ""


@contextlib.contextmanager
def home_assistant() -> Iterator[HomeAssistant]:
    """Home Assistant 2024.3, which was the last for Python 3.11. `owner` and `guest` are tokens."""
    python = Path(sys.prefix) / "servers" / "home_assistant" / "bin" / "python"
    if not python.exists():
        pytest.skip("not run: home_assistant is missing (`make test-slow` installs it)")
    with _folder() as folder:
        port = free_port()
        (folder / "configuration.yaml").write_text(_HOME_ASSISTANT.format(port=port))
        script = ROOT / "tests" / "servers" / "serve_home_assistant.py"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([python, script, folder], stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        try:
            tokens = json.loads(process.stdout.readline() or "{}")
            assert tokens, (folder / "log").read_text()
            yield HomeAssistant(f"http://{HOST}:{port}", tokens["owner"], tokens["guest"], folder)
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


@dataclass
class Radicale:
    """A CalDAV server with one account, which has one calendar at `calendar`. Nobody else may read it."""

    port: int
    folder: Path
    login: str = LOGIN
    password: str = PASSWORD

    @property
    def calendar(self) -> str:
        return f"http://{HOST}:{self.port}/{LOGIN}/team/"

    def change_password(self, password: str) -> None:
        """What its administrator does; requests are let in by the new one from now on."""
        self.password = password
        (self.folder / "users").write_text(f"{self.login}:{password}\n")

    def write(self, text: str) -> None:
        """Replace the calendar by an iCalendar text, as one who has its password."""
        request = urllib.request.Request(self.calendar, text.encode(), {"Content-Type": "text/calendar"}, method="PUT")
        pair = base64.b64encode(f"{self.login}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
        urllib.request.urlopen(request, timeout=TIMEOUT).close()


@contextlib.contextmanager
def radicale() -> Iterator[Radicale]:
    """Radicale with basic authentication."""
    program = _program("radicale", "radicale")
    with _folder() as folder:
        peer = Radicale(free_port(), folder)
        peer.change_password(PASSWORD)
        (folder / "config").write_text(_RADICALE.format(port=peer.port, folder=folder))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, "--config", str(folder / "config")], stdout=log, stderr=log)
        try:
            _wait(peer.port, process, folder / "log")
            yield peer
        finally:
            _end(process)


@contextlib.contextmanager
def smtp_server(
    *,
    security: str = "none",
    auth: bool = True,
    refuse: Mapping[str, str] | None = None,
    names: Sequence[str] = (HOST, "localhost"),
    days: int = 30,
) -> Iterator[Smtp]:
    """aiosmtpd in a thread; `security` is `tls`, `starttls` or `none`, and with `auth` a login is asked for."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult, LoginPassword

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=False)

    class Handler:
        async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
            if auth and not session.authenticated:  # its own auth_required warns at each connection without TLS
                return "530 5.7.0 Authentication required"
            if "MAIL" in peer.refuse:
                return peer.refuse["MAIL"]
            envelope.mail_from = address
            return "250 OK"

        async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
            if address in peer.refuse:
                return peer.refuse[address]
            if len(envelope.rcpt_tos) >= peer.most:
                return peer.too_many
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            if refusal := (peer.refuse | peer.after.get(len(peer.mails), {})).get("DATA"):
                return refusal
            peer.mails.append(Received(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
            return "250 OK: taken"

    with _folder() as folder:
        cert, key = certificate(folder, names, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        peer = Smtp(free_port(), cert, dict(refuse or {}))
        controller = Controller(
            Handler(), hostname=HOST, port=peer.port, server_hostname="peer", authenticator=authenticate if auth else None,
            auth_exclude_mechanism=() if auth else ("LOGIN", "PLAIN"),
            auth_require_tls=security == "starttls", enable_SMTPUTF8=True,
            ssl_context=context if security == "tls" else None,
            tls_context=context if security == "starttls" else None, require_starttls=security == "starttls",
        )  # fmt: skip
        controller.start()
        try:
            yield peer
        finally:
            controller.stop()


@dataclass
class Relay:
    """A line to a peer that can be cut, or go dead while `dead` is set."""

    port: int = 0
    dead: bool = False
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    host: str = HOST

    def cut(self) -> None:
        """Break every connection off, without a word."""
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


@contextlib.asynccontextmanager
async def relay(port: int) -> AsyncIterator[Relay]:
    """Pass connections on to `port` of this machine, until `cut`."""
    line = Relay()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not line.dead:
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        line.writers += [writer, far_writer]
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(connected, HOST, 0)
    line.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield line
        finally:
            line.cut()
            await asyncio.sleep(0.01)  # for the transports to close


def mail(subject: str = "Hello", text: str = "Hello there.\n", *, sender: str = "Bob <bob@example.com>") -> bytes:
    """An ordinary mail to the mailbox's owner."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, LOGIN, subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{uuid.uuid4().hex}@example.com>"
    message.set_content(text)
    return message.as_bytes()


def certificate(folder: Path, names: Sequence[str] = (HOST, "localhost"), *, days: int = 30) -> tuple[Path, Path]:
    """Make a self-signed `cert.pem` and `key.pem` for `names`; with negative `days` it has expired."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _program(name: str, *packages: str) -> str:
    result = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not result:
        pytest.skip(f"not run: {name} is missing (package {packages[0]})")
    return result


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A short path that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="peer-", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            _end(process)
            raise RuntimeError(f"{process.args!r} did not start: {log.read_text() if log.exists() else 'no log'}")
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
