"""`{{path.to.value | filter:argument}}`: values looked up in plain data, shaped by a closed list of pure filters.

No evaluation, no attribute access, no loops. Compiled once, rendered in about a microsecond. Everything is limited: the
template, each value, the result and the work of a rendering. The grammar for users is in docs/reference/templates.md.
"""

from area.kit.template.placeholder import TemplateError
from area.kit.template.reading import PlacedError
from area.kit.template.template import RenderError, Template, check, compile, paths_in  # noqa: A004 -- as in `re`
from area.kit.template.values import as_text, is_empty

__all__ = [
    "PlacedError",
    "RenderError",
    "Template",
    "TemplateError",
    "as_text",
    "check",
    "compile",
    "is_empty",
    "paths_in",
]
