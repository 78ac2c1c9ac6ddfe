"""Everything that the pages do can be done with the API."""

from fastapi.routing import iter_route_contexts

from area.api import make_api
from area.web import pages

# Each form and file of the pages, and the operations of the API that do the same.
PAGES = """
    POST /admin/clients/{slug}/tokens/clear            clear_verification_tokens
    POST /admin/components/{component_id}/switch       switch_component_on_or_off
    POST /admin/invitations                            create_invitation
    POST /admin/invitations/{invitation_id}/withdraw   revoke_invitation
    POST /admin/services/{service_id}/switch           switch_service_on_or_off
    POST /admin/users/{user_id}                        change_account delete_account remove_account_second_factor
    POST /areas/bulk                                   switch_or_delete_several_areas
    POST /areas/editor                                 create_area change_area test_unsaved_area
    POST /areas/editor/try                             test_unsaved_area test_area
    POST /areas/options/{component}/{parameter}        list_options_for_parameter
    POST /areas/{area_id}/chain                        switch_area_on switch_area_off
    POST /areas/{area_id}/check                        check_area_now
    POST /areas/{area_id}/delete                       delete_area
    POST /areas/{area_id}/move                         change_area delete_area
    POST /areas/{area_id}/power                        switch_area_on switch_area_off
    POST /areas/{area_id}/renew                        rotate_webhook_url
    POST /areas/{area_id}/run                          run_area
    POST /areas/{area_id}/switch                       switch_area_on switch_area_off
    POST /areas/{area_id}/try                          test_area
    POST /areas/{area_id}/versions/{version}/restore   restore_version
    POST /areas/{area_id}/when-off                     change_area
    GET  /areas/{area_id}/chart                        get_area_figures
    GET  /areas/{area_id}/export                       export_areas
    POST /confirm-email                                confirm_e_mail_address
    POST /finish-sign-up                               confirm_registration
    POST /forgot-password                              request_password_reset
    POST /inbox/read                                   mark_as_read
    POST /profile                                      change_my_profile
    POST /profile/delete                               delete_my_account
    POST /profile/email                                change_mail_settings
    POST /profile/email/confirmation                   resend_confirmation
    POST /profile/email/keep                           cancel_change_of_address
    GET  /profile/export                               export_areas
    POST /profile/import                               import_areas
    POST /profile/logins/{provider}                    link_log_in_provider
    POST /profile/logins/{provider}/remove             unlink_log_in_provider
    POST /profile/mails                                change_mail_settings
    POST /profile/passkeys                             start_adding_passkey add_passkey
    POST /profile/passkeys/{passkey_id}/remove         remove_passkey
    POST /profile/password                             change_my_password
    POST /profile/picture                              upload_my_picture
    POST /profile/picture/remove                       remove_my_picture
    POST /profile/sessions/end                         end_my_other_sessions sign_out_everywhere
    POST /profile/sessions/{session_id}/end            end_session
    POST /profile/timezone                             change_my_profile
    POST /profile/tokens                               create_api_token
    POST /profile/tokens/{token_id}/revoke             revoke_api_token
    POST /profile/two-factor/app                       start_adding_app
    POST /profile/two-factor/app/confirm               confirm_app
    POST /profile/two-factor/app/remove                remove_app
    POST /profile/two-factor/recovery-codes            generate_recovery_codes
    POST /reset-password                               reset_password
    POST /runs/cancel                                  cancel_several_executions
    POST /runs/replay                                  replay_several_executions
    POST /runs/{run_id}/cancel                         cancel_execution
    POST /runs/{run_id}/edited                         replay_execution
    POST /runs/{run_id}/replay                         replay_execution
    POST /runs/{run_id}/try                            try_execution_now
    POST /services/{slug}                              connect
    POST /services/{slug}/consent                      start_oauth2
    POST /services/{slug}/disconnect                   disconnect
    POST /services/{slug}/rename                       rename_connection
    POST /services/{slug}/test                         test_connection
    POST /sign-in                                      log_in
    POST /sign-in/second-factor                        complete_two_factor_log_in log_in_with_passkey
    POST /sign-out                                     log_out
    POST /sign-up                                      register
    POST /undo-email-change                            undo_change_of_e_mail_address
    POST /unsubscribe                                  change_mail_settings
"""
FILES = ("/export", "/chart")


def test_what_the_pages_do_can_be_done_with_the_api():
    document = make_api().openapi()
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    table = {(method, path): names for method, path, *names in map(str.split, PAGES.strip().splitlines())}
    there = {
        (method, context.path.replace(":int}", "}"))
        for context in iter_route_contexts(pages().routes)
        for method in context.methods or ()
        if method == "POST" or (method == "GET" and context.path.endswith(FILES))
    }
    assert there == set(table)
    assert {name for names in table.values() for name in names} <= operations
