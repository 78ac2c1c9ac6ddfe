"""Exim and Cyrus on loopback, for tests: unpacked packages of Debian, since installed ones would replace other servers.

`make apt` unpacks them beside the virtual environment's other programs. What is missing skips the test by its package's
name. Both want to find users of their own in the system, which nss_wrapper shows to them alone.
"""

import contextlib
import grp
import imaplib
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from tests.peers import HOST, LOGIN, PASSWORD, _end, _folder, _wait, certificate
from tests.ports import free_port

ROOT = Path(sys.prefix) / "peers"

_EXIM = """\
primary_hostname = mail.example.org
exim_path = {folder}/exim
exim_user = {user}
exim_group = {group}
never_users =
keep_environment =
spool_directory = {folder}/spool
log_file_path = {folder}/log-%slog
pid_file_path = {folder}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
smtputf8_advertise_hosts = *
recipients_max = {most}
acl_smtp_rcpt = recipient
acl_smtp_data = data
begin acl
recipient:
  deny    message = 5.7.0 Authentication required
          !authenticated = *
  defer   message = ${{lookup{{$local_part@$domain}}lsearch{{{folder}/defer}}}}
          condition = ${{lookup{{$local_part@$domain}}lsearch{{{folder}/defer}}{{yes}}{{no}}}}
  deny    message = ${{lookup{{$local_part@$domain}}lsearch{{{folder}/deny}}}}
          condition = ${{lookup{{$local_part@$domain}}lsearch{{{folder}/deny}}{{yes}}{{no}}}}
  accept
data:
  defer   message = ${{lookup{{data}}lsearch{{{folder}/defer}}}}
          condition = ${{lookup{{data}}lsearch{{{folder}/defer}}{{yes}}{{no}}}}
  accept
begin routers
everybody:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  maildir_format
  create_directory
  directory = {folder}/mails
  envelope_to_add
  user = {user}
  group = {group}
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""

_CYRUS = """\
configdirectory: {folder}/config
defaultpartition: default
partition-default: {folder}/spool
admins: admin
cyrus_user: cyrus
altnamespace: yes
unixhierarchysep: yes
allowplaintext: yes
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {folder}/mux/mux
sasl_mech_list: PLAIN
proc_path: {folder}/proc
mboxname_lockpath: {folder}/lock
idlesocket: {folder}/idle
lmtpsocket: {folder}/lmtp
notifysocket: {folder}/notify
tls_server_cert: {folder}/cert.pem
tls_server_key: {folder}/key.pem
"""

_CYRUS_MASTER = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{port}" prefork=0
  imaps cmd="{bin}/imapd -C {folder}/imapd.conf -s" listen="127.0.0.1:{tls_port}" prefork=0
}}
DAEMON {{
  idled cmd="{bin}/idled -C {folder}/imapd.conf"
}}
"""


def _unpacked(path: str, package: str) -> Path:
    program = ROOT / path
    if not program.exists():
        pytest.skip(f"not run: {program.name} is missing (package {package}, unpacked by make apt)")
    return program


def _environment(folder: Path) -> tuple[dict[str, str], str, str]:
    """Libraries from the packages, and users `Debian-exim` and `cyrus`, who are nobody; who that is, and its group."""
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    group = grp.getgrgid(nobody.pw_gid).gr_name
    line = f"x:{nobody.pw_uid}:{nobody.pw_gid}::{folder}:/bin/false\n"
    (folder / "passwd").write_text(
        f"{Path('/etc/passwd').read_text()}Debian-exim:{line}cyrus:{line}".replace("\n\n", "\n")
    )
    (folder / "group").write_text(f"{Path('/etc/group').read_text()}Debian-exim:x:{nobody.pw_gid}:\n")
    libraries = [*ROOT.glob("usr/lib/*-linux-gnu"), *ROOT.glob("lib/*-linux-gnu")]
    return (
        {
            "PATH": os.environ["PATH"],
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "LD_PRELOAD": str(_unpacked(f"{libraries[0].relative_to(ROOT)}/libnss_wrapper.so", "libnss-wrapper")),
            "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(folder / "group"),
        },
        nobody.pw_name,
        group,
    )


@dataclass
class Exim:
    """An SMTP server that wants TLS and a login. `port` speaks STARTTLS, `tls_port` TLS."""

    port: int
    tls_port: int
    folder: Path
    host: str = HOST
    login: str = LOGIN
    password: str = PASSWORD

    @property
    def ca(self) -> Path:
        return self.folder / "cert.pem"

    def refuse(self, *, for_now: dict[str, str] | None = None, for_good: dict[str, str] | None = None) -> None:
        """Refuse these recipients (or `data`, after the text) with these messages, and no others."""
        for name, refusals in (("defer", for_now), ("deny", for_good)):
            lines = [f"{address}: {message}\n" for address, message in (refusals or {}).items()]
            (self.folder / name).write_text("".join(lines))

    def mails(self, address: str) -> list[Message]:
        """What was delivered to an address. Exim does it after it has answered."""
        mails = [message_from_bytes(path.read_bytes()) for path in sorted((self.folder / "mails" / "new").glob("*"))]
        return [message for message in mails if message["Envelope-to"] == address]

    def log(self) -> str:
        return (self.folder / "log-mainlog").read_text()


@contextlib.contextmanager
def exim(*, most: int = 100) -> Iterator[Exim]:
    """Exim, which takes `most` recipients at once."""
    program = _unpacked("usr/sbin/exim4", "exim4-daemon-light")
    with _folder() as folder:
        environment, user, group = _environment(folder)
        peer = Exim(free_port(), free_port(), folder)
        certificate(folder)
        for path in (folder / "spool", folder / "mails"):
            path.mkdir(mode=0o777)
            path.chmod(0o777)
        for path in (folder, folder / "key.pem"):
            path.chmod(0o777 if path.is_dir() else 0o644)
        peer.refuse()
        (folder / "conf").write_text(
            _EXIM.format(
                folder=folder, port=peer.port, tls_port=peer.tls_port, user=user, group=group,
                login=LOGIN, password=PASSWORD, most=most,
            )
        )  # fmt: skip
        # it takes the libraries' path from the environment of the processes that it starts
        values = " ".join(f"{name}='{value}'" for name, value in environment.items())
        (folder / "exim").write_text(f"#!/bin/sh\nexec env {values} '{program}' \"$@\"\n")
        (folder / "exim").chmod(0o755)
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [program, "-bdf", "-q1m", "-C", folder / "conf"], env=environment, stdout=out, stderr=out
            )
        try:
            _wait(peer.port, process, folder / "out")
            yield peer
        finally:
            _end(process)


@dataclass
class Cyrus:
    """An IMAP server with one mailbox. `port` speaks plain and STARTTLS, `tls_port` TLS."""

    port: int
    tls_port: int
    folder: Path
    host: str = HOST
    login: str = "ann"
    password: str = PASSWORD

    @property
    def ca(self) -> Path:
        return self.folder / "cert.pem"

    @contextlib.contextmanager
    def client(self, login: str = "ann") -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4(HOST, self.port, timeout=30) as client:
            client.login(login, PASSWORD)
            yield client

    def create(self, folder: str) -> None:
        with self.client() as client:
            assert client.create(folder)[0] == "OK"

    def delete(self, folder: str) -> None:
        with self.client() as client:
            assert client.delete(folder)[0] == "OK"

    def make_anew(self, folder: str, content: bytes) -> None:
        """Delete a folder, and make another of that name with one mail. It is numbered by seconds."""
        self.delete(folder)
        self.make(folder, content)

    def make(self, folder: str, content: bytes) -> None:
        """Make a folder with one mail, later than all others."""
        time.sleep(1.1)
        self.create(folder)
        self.deliver(content, folder)

    def deliver(self, content: bytes, folder: str = "INBOX") -> None:
        with self.client() as client:
            assert client.append(folder, "", "", content)[0] == "OK"


@contextlib.contextmanager
def cyrus() -> Iterator[Cyrus]:
    """Cyrus."""
    master = _unpacked("usr/sbin/cyrmaster", "cyrus-common")
    _unpacked("usr/lib/cyrus/bin/imapd", "cyrus-imapd")
    with _folder() as folder:
        environment, user, _ = _environment(folder)
        peer = Cyrus(free_port(), free_port(), folder)
        certificate(folder)
        (folder / "key.pem").chmod(0o644)
        for name in ("config", "config/db", "config/socket", "spool", "proc", "lock", "mux"):
            (folder / name).mkdir()
        account = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        (folder / "imapd.conf").write_text(_CYRUS.format(folder=folder))
        (folder / "cyrus.conf").write_text(
            _CYRUS_MASTER.format(folder=folder, bin=ROOT / "usr/lib/cyrus/bin", port=peer.port, tls_port=peer.tls_port)
        )
        arguments = ["-C", folder / "imapd.conf", "-M", folder / "cyrus.conf", "-p", folder / "pid"]
        with _passwords(folder / "mux" / "mux"), (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [master, *arguments], env=environment, stdout=out, stderr=out, start_new_session=True
            )
            try:
                _wait(peer.port, process, folder / "out")
                with peer.client("admin") as client:
                    assert client.create("user/ann")[0] == "OK"
                yield peer
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def _passwords(path: Path) -> Iterator[None]:
    """What saslauthd does: four counted strings come in, of which the second is the password."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                _, password, *_ = (stream.read(struct.unpack("!H", stream.read(2))[0]) for _ in range(4))
                answer = b"OK" if password.decode() == PASSWORD else b"NO"
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen(16)
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
