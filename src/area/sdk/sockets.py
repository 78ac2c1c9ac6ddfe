"""For connectors that use a protocol other than HTTP: TLS, and errors for failed connections."""

import socket
import ssl
from functools import cache

from area.kit.fair import Fair, Full
from area.kit.net import LookupFailed
from area.kit.sentences import Sentence
from area.sdk.errors import ConnectorError, Permanent, Retry

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED

__all__ = ["Fair", "Full", "explain", "tls_context"]


def explain(error: OSError, server: str, host: str, *, timeout: float, no_tls: str) -> ConnectorError:
    """The error to raise for a failed connection: it names the address, the certificate, or the network.

    `server` begins the sentence (`The IMAP server mail.example.org:993`), `timeout` is the limit that was reached, in
    seconds, and `no_tls` is a hint for a port that doesn't speak TLS.
    """
    if isinstance(error, LookupFailed):
        return Retry(Sentence("%(server)s can't be reached: %(error)s", server=server, error=error))
    if isinstance(error, socket.gaierror):
        return Retry(
            Sentence(
                "%(server)s can't be found: there is no host named '%(host)s', or the name lookup failed.",
                server=server,
                host=host,
            )
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        sentence = Sentence(
            "%(server)s has a certificate that can't be trusted: %(said)s.",
            server=server,
            said=error.verify_message.rstrip("."),
        )
        return Retry(sentence) if error.verify_code == _EXPIRED else Permanent(sentence)
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return Permanent(Sentence("%(server)s %(said)s", server=server, said=no_tls))
    if isinstance(error, ConnectionRefusedError):
        return Retry(
            Sentence(
                "%(server)s refuses connections: nothing is listening on that port, or a firewall blocks it.",
                server=server,
            )
        )
    if isinstance(error, TimeoutError):
        return Retry(
            Sentence("%(server)s did not respond within %(number)s seconds.", server=server, number=f"{timeout:g}")
        )
    return Retry(Sentence("%(server)s closed the connection: %(said)s.", server=server, said=error.strerror or error))


@cache
def tls_context() -> ssl.SSLContext:
    """The system's certificate authorities, or those of the file that SSL_CERT_FILE names."""
    return ssl.create_default_context()
