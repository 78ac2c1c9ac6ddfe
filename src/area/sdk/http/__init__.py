"""The client that connectors call the world with: guarded, bounded, and mapping answers to the three errors."""

from area.kit.http import Response
from area.sdk.http.access import Access, Authority, Fixed
from area.sdk.http.client import LIMITED as LIMITED
from area.sdk.http.client import Http
from area.sdk.http.client import Refusal as Refusal
from area.sdk.http.pages import Pages
from area.sdk.http.parse import given, parse, quoted

__all__ = ["Access", "Authority", "Fixed", "Http", "Pages", "Response", "given", "parse", "quoted"]
