"""What Home Assistant tells and answers."""

from datetime import datetime
from typing import Any

from area.sdk import Output, output


class State(Output):
    entity: str = output("entity_id", "ID", "binary_sensor.front_door")
    name: str = output("name", "Name", "Front door")
    state: str = output("new_state.state", "Current state", "on")
    before: str = output("old_state.state", "Previous state", "off")
    attributes: dict[str, Any] = output("new_state.attributes", "Attributes", {"device_class": "door"})
    attributes_before: dict[str, Any] = output("old_state.attributes", "Previous attributes", {"device_class": "door"})
    changed_at: datetime = output("new_state.last_changed", "Time of the change", "2026-11-23T09:00:00Z")


class Happened(Output):
    event_type: str = output("event_type", "Type", "tag_scanned")
    data: dict[str, Any] = output("data", "Text", {"tag_id": "42"})
    fired_at: datetime = output("time_fired", "Time of the event", "2026-11-23T09:00:00Z")


class AttributeChange(State):
    attribute: str = output("attribute", "Attribute", "current_temperature")
    value: Any = output("value", "Current value", 21.5)
    value_before: Any = output("value_before", "Previous value", 21)


class Called(Output):
    answer: dict[str, Any] = output(
        "service_response", "The service's response, if it returns one", {"result": "ok"}, {}
    )
    changed: list[str] = output("changed_states.*.entity_id", "Entities whose state it changed", ["light.kitchen"], [])


class Fired(Output):
    message: str = output("message", "What Home Assistant says", "Event tag_scanned fired.")


class Current(Output):
    entity: str = output("entity_id", "ID", "sensor.living_room")
    name: str = output("attributes.friendly_name entity_id", "Name", "Living room")
    state: str = output("state", "Current state", "21.5")
    attributes: dict[str, Any] = output("attributes", "Attributes", {"unit_of_measurement": "°C"}, {})
    changed_at: datetime = output("last_changed", "Time of the last change", "2026-11-23T09:00:00Z")
