"""Deprecated: the module is now `area.vendors.google`."""

from area.sdk.renamed import moved

__getattr__ = moved(__name__, "area.vendors.google")
