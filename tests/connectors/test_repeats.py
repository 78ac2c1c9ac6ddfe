"""What becomes of a reaction that a crash cut off: for each of them it is said here, or declared with
`on_crash="fail"`.
"""

import inspect
import sys

import pytest

from area.registry import registry

# All attempts of one run are one thing to whom they reach, by `ctx.idempotency_key` or, in AREA itself, by the
# execution.
ONCE = """
    area.run inbox.post
    bluesky.create_post bluesky.like_post bluesky.repost bluesky.follow
    discord.send_message discord.send_direct_message
    email.send_email
    google_calendar.create_event
    google_drive.create_text_file google_drive.upload_file google_drive.create_folder google_drive.copy_file
    http.request
    linear.create_issue linear.comment_on_issue
    mastodon.post_status
    mqtt.publish
    stripe.create_customer stripe.create_invoice_item stripe.create_payment_link stripe.refund_payment
    todoist.create_task todoist.quick_add todoist.complete_task todoist.comment_on_task
"""
# Done twice they leave what they leave done once: they set something, look first, or are refused the second time.
SAME = """
    area.enable area.disable
    discord.add_reaction discord.add_role
    dropbox.write_text dropbox.create_folder dropbox.move dropbox.share_link
    github.add_labels github.close_issue github.open_pull_request github.star_repository
    gitlab.add_labels gitlab.close_issue gitlab.open_merge_request
    gmail.add_label gmail.remove_label
    google_calendar.invite google_calendar.cancel_event
    google_drive.move_file google_drive.share_file
    google_sheets.update_cells google_sheets.update_row google_sheets.add_sheet
    home_assistant.turn_on home_assistant.turn_off
    jira.transition_issue jira.assign_issue
    linear.set_state
    mastodon.boost mastodon.favourite mastodon.bookmark
    microsoft_todo.complete_task
    notion.update_property
    onedrive.share_link
    outlook.move_mail outlook.mark_mail
    reddit.save
    shopify.create_customer shopify.add_tags shopify.set_note
    slack.add_reaction slack.set_topic slack.create_channel
    spotify.save_track spotify.start_playback spotify.pause_playback
    telegram.edit_message telegram.pin_message
    trello.move_card trello.archive_card
    twitch.update_channel
    youtube.add_to_playlist youtube.rate_video youtube.subscribe
"""

REACTIONS = {one.key: one for service in registry().services.values() for one in service.reactions.values()}


def test_it_is_decided_for_every_reaction_what_a_second_attempt_does():
    repeated = {key for key, one in REACTIONS.items() if one.on_crash == "retry"}
    assert repeated == {*ONCE.split(), *SAME.split()}, (
        "say in ONCE or SAME why it may be tried again, or declare on_crash='fail'"
    )
    assert len(repeated) == len(ONCE.split()) + len(SAME.split())


@pytest.mark.parametrize("key", ONCE.split())
def test_a_reaction_whose_attempts_are_one_says_so_to_whom_it_reaches(key):
    package = REACTIONS[key].function.__module__
    sources = [inspect.getsource(module) for name, module in sys.modules.items() if name.startswith(package)]
    assert any(word in one for one in sources for word in ("ctx.idempotency_key", "ctx.uuid(", "ctx.platform."))
