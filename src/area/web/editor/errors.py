"""Errors of the editor's form: by field, those to show now, and a summary."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from area.kit.problems import FieldError
from area.kit.sentences import Sentence
from area.web.editor.forms import SIDES, Form, Side
from area.web.editor.sides import Half
from area.web.editor.sight import Sight
from area.web.parts.pages import Page


def of_rows(page: Page, form: Form) -> dict[str, str]:
    """What is wrong with lines of the condition, by name."""
    messages = {}
    for row in form.condition.rows if form.condition else []:
        if not row.complete:
            messages[row.name] = page.say("Choose a value and what to compare it with.")
        elif not row.readable:
            messages[row.name] = page.say("Enter the name of a value, such as title or body.name.")
    return messages


def by_field(page: Page, errors: Sequence[FieldError]) -> dict[str, list[str]]:
    """Translated errors by form field such as `a.url`; `a` for errors of a whole half."""
    messages: dict[str, list[str]] = defaultdict(list)
    for error in errors:
        parts = error["field"].split(".")
        key = parts[0][:1] if parts[0] in SIDES else parts[0]
        if parts[1:2] == ["parameters"] and len(parts) > 2:
            key = f"{key}.{parts[2]}"
        message = page.say(_plain(error["message"]))
        if message not in messages[key]:
            messages[key].append(message)
    return dict(messages)


def _plain(message: str) -> str:
    """Plain words for what pydantic and the API say of a field, which a page shows beside its label."""
    key = message.key if isinstance(message, Sentence) else message
    if key in ("Field required", "%(name)s is required: %(description)s."):
        return Sentence("This field is required.")
    return message


def visible(form: Form, sight: Sight, errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The errors to show: of fields that were filled in or touched, or all after saving."""
    typed = {f"{side[0]}.{name}" for side in SIDES for name, text in form.values(side).items() if text}
    return {
        key: error
        for key, error in errors.items()
        if sight.tried or key in typed or key in sight.touched or (key == "a.only_if" and form.condition is None)
    }


def summary(halves: Mapping[Side, Half], errors: Mapping[str, list[str]], form: Form) -> list[tuple[str, str, str]]:
    """Error summary: field id, label and sentence."""
    unplaced = []
    for side in SIDES:
        letter = side[0]
        whole = f"find-{side}" if halves[side].picker else f"change-{side}"
        unplaced += [(whole, "", sentence) for sentence in errors.get(letter, [])]
        for field in halves[side].fields:
            target = field.id
            if field.variable == "only_if":
                target = "only-if" if form.condition is None else "row-add"
            unplaced += [(target, field.label, sentence) for sentence in errors.get(field.name, [])]
    known = {field.name for side in SIDES for field in halves[side].fields} | {"a", "r"}
    return unplaced + [("f-name", "", sentence) for key in errors if key not in known for sentence in errors[key]]
