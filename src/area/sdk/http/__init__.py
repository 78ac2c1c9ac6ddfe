"""The HTTP client for connectors: guarded, bounded, and mapping responses to the three errors."""

from area.kit.http import Response
from area.sdk.http.access import Access, Authority, Fixed
from area.sdk.http.client import LIMITED as LIMITED
from area.sdk.http.client import Http
from area.sdk.http.client import Refusal as Refusal
from area.sdk.http.pages import Pages
from area.sdk.http.parse import parse, quoted, without_blanks
from area.sdk.renamed import renamed

__all__ = ["Access", "Authority", "Fixed", "Http", "Pages", "Response", "parse", "quoted", "without_blanks"]

__getattr__ = renamed(__name__, {"given": "without_blanks"})
