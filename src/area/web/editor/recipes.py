"""AREAs to begin with: they need no account anywhere. The editor opens with their fields filled in."""

from dataclasses import dataclass, field
from typing import Any


def _(text: str) -> str:
    """Mark a sentence for translation; the page translates it."""
    return text


@dataclass(frozen=True)
class Recipe:
    """An AREA as `/areas/new?recipe=…` begins with."""

    title: str
    text: str
    action: str
    reaction: str
    action_parameters: dict[str, Any] = field(default_factory=dict)
    reaction_parameters: dict[str, Any] = field(default_factory=dict)


RECIPES: dict[str, Recipe] = {
    "reminder": Recipe(
        _("A reminder every morning"),
        _("Get a notice in your inbox every day at the time you choose."),
        "timer.daily_timer",
        "inbox.post",
        {"time": "08:00"},
        {"title": "Good morning, it is {{weekday}}", "body": "Today is {{date}}."},
    ),
    "webhook": Recipe(
        _("From anything that can send a request"),
        _("Get your own URL; everything sent to it lands in your inbox."),
        "webhook.received",
        "inbox.post",
        {},
        {"title": "{{method}} from my webhook", "body": "{{body}}"},
    ),
    "feed": Recipe(
        _("Follow a blog or a release feed"),
        _("Get a notice for each new item of an RSS or Atom feed."),
        "rss.new_item",
        "inbox.post",
        {"url": "https://github.com/python/cpython/releases.atom"},
        {"title": "{{title}}", "body": "{{summary | truncate:400}}\n{{link}}"},
    ),
    "value": Recipe(
        _("Get an e-mail when a value changes"),
        _("Watch a number or text in a JSON document and get an e-mail when it changes."),
        "http.value_changed",
        "email.send_email",
        {"url": "https://api.example.com/status", "path": "data.price"},
        {
            "subject": "It is now {{value}}",
            "text": "It was {{previous}}, and since {{changed_at}} it is {{value}}.\n{{url}}",
        },
    ),
    "mqtt": Recipe(
        _("From MQTT to the web"),
        _("Forward each message of a topic as an HTTP request."),
        "mqtt.message_received",
        "http.request",
        {"topic": "home/+/temperature"},
        {"url": "https://api.example.com/readings", "body": '{"topic": "{{topic}}", "payload": "{{payload}}"}'},
    ),
    "calendar": Recipe(
        _("Before each appointment"),
        _("Get a notice some minutes before each calendar event starts."),
        "calendar.event_starts",
        "inbox.post",
        {"url": "https://example.org/team.ics", "minutes_before": 15},
        {"title": "{{summary}} begins soon", "body": "{{start}} {{location}}"},
    ),
}
