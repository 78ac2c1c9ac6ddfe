"""pydantic's errors as translatable sentences.

The keys are pydantic's messages (https://docs.pydantic.dev/latest/errors/validation_errors/); what is not listed here
stays in English.
"""

from collections.abc import Mapping
from typing import Any

from area.kit.sentences import Sentence, counted

_BY_TYPE: Mapping[str, Sentence] = {
    "missing": Sentence("Field required"),
    "extra_forbidden": Sentence("Unknown field."),
    "json_invalid": Sentence("That isn't valid JSON: %(error)s."),
    "string_type": Sentence("Input should be a valid string"),
    "string_pattern_mismatch": Sentence("String should match pattern '%(pattern)s'"),
    "int_type": Sentence("Input should be a valid integer"),
    "int_parsing": Sentence("Input should be a valid integer, unable to parse string as an integer"),
    "int_from_float": Sentence("Input should be a valid integer, got a number with a fractional part"),
    "int_parsing_size": Sentence("Unable to parse input string as an integer, exceeded maximum size"),
    "float_type": Sentence("Input should be a valid number"),
    "float_parsing": Sentence("Input should be a valid number, unable to parse string as a number"),
    "finite_number": Sentence("Input should be a finite number"),
    "bool_type": Sentence("Input should be a valid boolean"),
    "bool_parsing": Sentence("Input should be a valid boolean, unable to interpret input"),
    "greater_than": Sentence("Input should be greater than %(gt)s"),
    "greater_than_equal": Sentence("Input should be greater than or equal to %(ge)s"),
    "less_than": Sentence("Input should be less than %(lt)s"),
    "less_than_equal": Sentence("Input should be less than or equal to %(le)s"),
    "multiple_of": Sentence("Input should be a multiple of %(multiple_of)s"),
    "literal_error": Sentence("Input should be %(expected)s"),
    "enum": Sentence("Input should be %(expected)s"),
    "list_type": Sentence("Input should be a valid list"),
    "dict_type": Sentence("Input should be a valid dictionary"),
    "model_attributes_type": Sentence("Input should be a valid dictionary or object to extract fields from"),
    "model_type": Sentence("Input should be a valid dictionary or instance of %(class_name)s"),
    "date_from_datetime_parsing": Sentence("Input should be a valid date or datetime, %(error)s"),
    "date_type": Sentence("Input should be a valid date"),
    "datetime_from_date_parsing": Sentence("Input should be a valid datetime or date, %(error)s"),
    "datetime_parsing": Sentence("Input should be a valid datetime, %(error)s"),
    "datetime_type": Sentence("Input should be a valid datetime"),
    "timezone_aware": Sentence("Input should have timezone info"),
    "time_parsing": Sentence("Input should be in a valid time format, %(error)s"),
    "url_parsing": Sentence("Input should be a valid URL, %(error)s"),
    "url_scheme": Sentence("URL scheme should be %(expected_schemes)s"),
    "url_type": Sentence("URL input should be a string or URL"),
}


def refused(error: Mapping[str, Any]) -> Sentence:
    """One of `ValidationError.errors()`, with its context, as a sentence. A validator's own `ValueError` is used as it
    is.
    """
    kind, context = error["type"], dict(error.get("ctx") or {})
    if isinstance(own := context.get("error"), Exception):
        return Sentence(str(own))
    if kind == "value_error" and "reason" in context:  # pydantic's error for e-mail addresses
        return Sentence("value is not a valid email address: %(reason)s", reason=context["reason"])
    if kind == "string_too_short":
        number = context["min_length"]
        return counted(
            "String should have at least %(number)s character",
            "String should have at least %(number)s characters",
            number,
        )
    if kind == "string_too_long":
        number = context["max_length"]
        return counted(
            "String should have at most %(number)s character",
            "String should have at most %(number)s characters",
            number,
        )
    if kind in ("too_short", "too_long"):
        values = {"kind": context["field_type"], "actual_length": context["actual_length"]}
        if kind == "too_short":
            return counted(
                "%(kind)s should have at least %(number)s item after validation, not %(actual_length)s",
                "%(kind)s should have at least %(number)s items after validation, not %(actual_length)s",
                context["min_length"],
                **values,
            )
        return counted(
            "%(kind)s should have at most %(number)s item after validation, not %(actual_length)s",
            "%(kind)s should have at most %(number)s items after validation, not %(actual_length)s",
            context["max_length"],
            **values,
        )
    if known := _BY_TYPE.get(kind):
        return Sentence(known.key, **context)
    return Sentence(error["msg"].removeprefix("Value error, "))
