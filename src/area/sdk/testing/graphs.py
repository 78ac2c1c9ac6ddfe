"""Deprecated: the module is now `area.sdk.testing.graphql`."""

from area.sdk.renamed import moved

__getattr__ = moved(__name__, "area.sdk.testing.graphql")
