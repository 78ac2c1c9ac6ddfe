"""An AREA's configuration, validated by field and compiled for the engine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from area.db import contexts
from area.kit import template
from area.kit.budget import MAX_FILLED, Budget
from area.kit.clock import BadTime, parse_delay
from area.kit.crypto import Keyring
from area.kit.problems import FieldError, Invalid
from area.kit.refusals import refused
from area.kit.sentences import Number, Sentence
from area.kit.template import condition
from area.kit.template.filling import Filling
from area.kit.text import did_you_mean, dump_json
from area.registry import Registry
from area.sdk import Action, Reaction
from area.sdk.fields import Field, by_name, fields
from area.sdk.shapes import Shape

SECRET = "enc:"  # noqa: S105 - the mark of an encrypted value, no secret
MAX_VALUE = 64 * 1024  # characters of one parameter
MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """The process's resources that these functions need besides a session."""

    registry: Registry
    keyring: Keyring
    base_url: str
    max_areas: int


@dataclass(frozen=True, slots=True)
class Config:
    """The content of `area_versions.config`: components by key, and the text of each parameter (secrets encrypted).

    Connections are ids in `named_connections`, or 0 for a service's default connection.
    """

    action: str
    reaction: str
    action_parameters: Mapping[str, str]
    reaction_parameters: Mapping[str, str]
    action_connection: int = 0
    reaction_connection: int = 0

    def as_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "action": self.action,
            "reaction": self.reaction,
            "action_parameters": dict(self.action_parameters),
            "reaction_parameters": dict(self.reaction_parameters),
            **({"action_connection": self.action_connection} if self.action_connection else {}),
            **({"reaction_connection": self.reaction_connection} if self.reaction_connection else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Config":
        """The inverse of `as_json`."""
        return cls(
            value["action"],
            value["reaction"],
            value["action_parameters"],
            value["reaction_parameters"],
            value.get("action_connection", 0),
            value.get("reaction_connection", 0),
        )


# what `{{run.…}}` reads: `key` is the same in all attempts of a run, and nobody else's
SAMPLE_RUN: Mapping[str, Any] = {"id": 42, "key": "5f3e9a7c-42"}


@dataclass(slots=True)
class Plan:
    """A compiled configuration. `fillings` are the reaction's parameters with placeholders, `constants` the others."""

    action: Action
    reaction: Reaction
    params: BaseModel
    fillings: dict[str, Filling]
    optional: frozenset[str]
    textual: frozenset[str]
    only_if: condition.Condition | None
    delay: str | None
    constants: dict[str, Any] = field(default_factory=dict)
    action_connection: int = 0
    reaction_connection: int = 0
    tells_run: bool = False  # whether a placeholder reads `run`
    uses: frozenset[tuple[str, ...]] = frozenset()  # of a link: the paths that it reads, with two steps at most

    def holds(self, data: Mapping[str, Any], budget: Budget) -> bool:
        """Whether the reaction should run for an event. Raises `Exhausted`."""
        return self.only_if is None or self.only_if.evaluate(data, budget)

    @property
    def connects(self) -> bool:
        """Whether the reaction uses a connection: its service requires one, or the AREA names one."""
        return bool(self.reaction_connection) or self.reaction.service.requires_auth

    def fill(self, data: Mapping[str, Any], budget: Budget, run: Mapping[str, Any] | None = None) -> BaseModel:
        """The reaction's parameters for an event. Raises `RenderError` or pydantic's `ValidationError`."""
        return self.reaction.params.model_validate(self.values(data, budget, run))

    def due(self, after: datetime, timezone: str) -> datetime | None:
        """When an event at `after` should run, in the user's time zone. None without a delay."""
        return parse_delay(self.delay, timezone).due(after) if self.delay else None

    def values(self, data: Mapping[str, Any], budget: Budget, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The composed parameters before validation, without optional ones that are empty. `run` is what placeholders
        read of the run itself.

        Raises `RenderError`, also if together they exceed `MAX_FILLED`.
        """
        budget.room = MAX_FILLED
        run = run or SAMPLE_RUN
        data = {"run": run, **data} if self.tells_run else data
        values = dict(self.constants)
        for name, filling in self.fillings.items():
            # in a chain, {{run}} is the number of its first run, and {{run.key}} still this run's
            own = self.action.kind == "link" and any(path[0] == "run" and len(path) > 1 for path in filling.paths)
            value = filling.render({**data, "run": run} if own else data, budget)
            if value in (None, "") and name in self.optional:
                continue
            # a lone placeholder keeps its type, but a text field accepts a number
            plain = isinstance(value, str) or name not in self.textual or filling.parted
            values[name] = value if plain else template.as_text(value)
        return values


def to_text(value: Any) -> str:
    """A parameter as stored: text unchanged, everything else as JSON."""
    return value if isinstance(value, str) else dump_json(value).decode()


def parse(text: str, declared: Field) -> Any:
    """A stored parameter as a value for its model. JSON variables are parsed if their text is JSON."""
    if declared.type == "json":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def seal_draft(keyring: Keyring, user_id: int, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Encrypt a draft for storage."""
    return {"sealed": keyring.encrypt(dump_json(content).decode(), contexts.draft(user_id, key))}


def open_draft(keyring: Keyring, user_id: int, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `seal_draft`. Raises `Undecryptable`."""
    if "sealed" not in content:
        return dict(content)
    opened: dict[str, Any] = orjson.loads(keyring.decrypt(content["sealed"], contexts.draft(user_id, key)))
    return opened


def filling_of(declared: Field, texts: Mapping[str, str]) -> Filling:
    """Parse one of a reaction's parameters as a template, by its shape. Raises `TemplateError`."""
    shape = declared.shape_in(texts) or Shape()
    return Filling(texts[declared.name], split=shape.split, place=shape.place)


def check_texts(
    component: Action | Reaction, values: Mapping[str, Any], place: str, *, allow: str
) -> tuple[dict[str, str], list[FieldError]]:
    """Parameters as texts, and the errors in their names and sizes. `allow` names the platform's own parameter."""
    declared = by_name(component.params)
    known = {*declared, allow}
    texts: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, value in values.items():
        if name not in known:
            message = Sentence(
                "%(key)s has no parameter '%(name)s'%(hint)s",
                key=component.key,
                name=name,
                hint=did_you_mean(name, known),
            )
            errors.append({"field": f"{place}.{name}", "message": message})
        elif value is None or value == "":
            continue
        else:
            text = to_text(value)
            if len(text) > MAX_VALUE:
                errors.append(
                    {
                        "field": f"{place}.{name}",
                        "message": Sentence("Use at most %(most)s characters.", most=Number(MAX_VALUE)),
                    }
                )
            elif "\x00" in text:
                errors.append({"field": f"{place}.{name}", "message": Sentence("Remove the NUL character.")})
            else:
                texts[name] = text
    return texts, errors


def compile_config(registry: Registry, config: Config) -> Plan:
    """Validate a whole configuration, secrets in clear. Raises `Invalid` with every field's error."""
    action, reaction = registry.action(config.action), registry.reaction(config.reaction)
    if action is None:
        raise Invalid.field("action.component", "The action '%(action)s' is no longer available.", action=config.action)
    if reaction is None:
        raise Invalid.field(
            "reaction.component", "The reaction '%(reaction)s' is no longer available.", reaction=config.reaction
        )
    errors: list[FieldError] = []
    params = _action_params(action, config.action_parameters, errors)
    names = {field.name: field.type for field in fields(action.returns)}
    only_if = _only_if(config.action_parameters.get("only_if"), names, errors)
    delay = _delay(config.reaction_parameters.get("delay"), errors)
    fillings, constants = _reaction_params(reaction, config.reaction_parameters, {**names, "run": "json"}, errors)
    if action.kind == "link":
        for name, filling in fillings.items():
            if len({len(path) > 1 for path in filling.paths if path[0] == "run"}) > 1:
                message = Sentence("Use {{run}} in one parameter, and {{run.id}} or {{run.key}} in another.")
                errors.append({"field": f"reaction.parameters.{name}", "message": message})
    declared = fields(reaction.params)
    if errors or params is None:
        raise Invalid(errors=errors)
    return Plan(
        action=action,
        reaction=reaction,
        params=params,
        fillings=fillings,
        optional=frozenset(field.name for field in declared if field.nullable),
        textual=frozenset(
            field.name for field in declared if field.type in ("string", "email", "url") and not field.several
        ),
        only_if=only_if,
        delay=delay,
        constants=constants,
        action_connection=config.action_connection,
        reaction_connection=config.reaction_connection,
        tells_run=any("run" in filling.names for filling in fillings.values()),
        uses=_uses(only_if, fillings) if action.kind == "link" else frozenset(),
    )


def _uses(only_if: condition.Condition | None, fillings: Mapping[str, Filling]) -> frozenset[tuple[str, ...]]:
    paths = [only_if.paths if only_if else frozenset(), *(filling.paths for filling in fillings.values())]
    return frozenset(path[:2] for each in paths for path in each)


def action_errors(action: Action, values: Mapping[str, Any]) -> list[FieldError]:
    """The errors in an action's parameters before a reaction is chosen."""
    texts, errors = check_texts(action, values, "action.parameters", allow="only_if")
    _action_params(action, texts, errors)
    _only_if(texts.get("only_if"), {field.name for field in fields(action.returns)}, errors)
    return errors


def _action_params(action: Action, texts: Mapping[str, str], errors: list[FieldError]) -> BaseModel | None:
    declared = by_name(action.params)
    values = {name: parse(text, declared[name]) for name, text in texts.items() if name in declared}
    try:
        return action.params.model_validate(values)
    except ValidationError as error:
        errors += field_errors(error, "action.parameters")
        return None


def _only_if(text: str | None, names: Collection[str], errors: list[FieldError]) -> condition.Condition | None:
    if not text:
        return None
    try:
        parsed = condition.parse(text)
    except condition.ConditionError as error:
        errors.append({"field": "action.parameters.only_if", "message": Sentence(str(error))})
        return None
    errors += [
        {"field": "action.parameters.only_if", "message": sentence} for sentence in condition.check(parsed, names)
    ]
    return parsed


def _delay(text: str | None, errors: list[FieldError]) -> str | None:
    if text:
        try:
            parse_delay(text, "UTC")
        except BadTime as error:
            errors.append({"field": "reaction.parameters.delay", "message": Sentence(str(error))})
    return text or None


def _reaction_params(
    reaction: Reaction, texts: Mapping[str, str], names: Mapping[str, str], errors: list[FieldError]
) -> tuple[dict[str, Filling], dict[str, Any]]:
    """Templates of the parameters with placeholders, and the values of the others."""
    fillings: dict[str, Filling] = {}
    constants: dict[str, Any] = {}
    declared = fields(reaction.params)
    for param in declared:
        place = f"reaction.parameters.{param.name}"
        text = texts.get(param.name)
        if text is None:
            if not param.nullable:
                errors.append(
                    {
                        "field": place,
                        "message": Sentence(
                            "%(name)s is required: %(description)s.", name=param.name, description=param.description
                        ),
                    }
                )
            continue
        try:
            filling = filling_of(param, texts)
        except template.TemplateError as error:
            errors.append({"field": place, "message": Sentence(str(error))})
            continue
        errors += [{"field": place, "message": sentence} for sentence in filling.check(names)]
        if filling.constant:
            value = filling.render({})
            constants[param.name] = parse(value, param) if isinstance(value, str) else value
        else:
            fillings[param.name] = filling
    _check_constants(reaction, constants, complete=not fillings, errors=errors)
    return fillings, constants


def _check_constants(
    reaction: Reaction, constants: dict[str, Any], *, complete: bool, errors: list[FieldError]
) -> None:
    """Validate what is known before an event: everything if there are no placeholders, else only the constants."""
    try:
        reaction.params.model_validate(constants)
    except ValidationError as error:
        invalid = field_errors(error, "reaction.parameters")
        if not complete:
            invalid = [
                detail
                for detail in invalid
                if detail["field"].split(".")[2:3] and detail["field"].split(".")[2] in constants
            ]
        known = {detail["field"] for detail in errors}
        errors += [detail for detail in invalid if detail["field"] not in known]


def field_errors(error: ValidationError, place: str) -> list[FieldError]:
    """Pydantic's errors as ours, without its `Value error, ` prefix."""
    if error.error_count() > MOST_ERRORS:  # for a long list of other values, one error each
        message = Sentence(
            "%(number)s values are invalid here. Choose one of them, such as {{items.0}}.",
            number=Number(error.error_count()),
        )
        return [{"field": place, "message": message}]
    return [
        {
            "field": ".".join([place, *(str(part) for part in detail["loc"])]),
            "message": refused(detail),
        }
        for detail in error.errors(include_url=False, include_input=False)
    ]
