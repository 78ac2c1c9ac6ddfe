"""Each reaction returns something that a later one can use."""

from area.registry import registry
from area.sdk import Nothing

# what can't: the vendor's answer is empty (202 or 204), and nothing new has an ID
NOTHING_TO_RETURN = {
    "github.star_repository",
    "outlook.send_mail",
    "outlook.reply_to_mail",
    "reddit.save",
    "slack.set_topic",
    "spotify.start_playback",
    "spotify.pause_playback",
    "twitch.announce",
    "twitch.update_channel",
}


def test_each_reaction_returns_something():
    reactions = [reaction for service in registry().services.values() for reaction in service.reactions.values()]
    assert {reaction.key for reaction in reactions if reaction.returns is Nothing} == NOTHING_TO_RETURN
