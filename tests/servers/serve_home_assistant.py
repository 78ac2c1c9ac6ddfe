"""Home Assistant with the configuration of the folder in argv, and two users: an administrator and an ordinary one.

It prints their long-lived tokens as `{"owner": …, "guest": …}` once it listens. What only its pages need isn't loaded.
"""

import asyncio
import json
import sys
from datetime import timedelta

from homeassistant import bootstrap, runner
from homeassistant.auth.const import GROUP_ID_ADMIN, GROUP_ID_USER

bootstrap.CRITICAL_INTEGRATIONS = set()
bootstrap.DEFAULT_INTEGRATIONS = {"logger"}
bootstrap.STAGE_1_INTEGRATIONS = set()


async def main() -> None:
    hass = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=sys.argv[1], skip_pip=True))
    assert hass
    tokens = {}
    for name, group in (("owner", GROUP_ID_ADMIN), ("guest", GROUP_ID_USER)):
        user = await hass.auth.async_create_user(name, group_ids=[group])
        lasting = {"token_type": "long_lived_access_token", "access_token_expiration": timedelta(days=1)}
        token = await hass.auth.async_create_refresh_token(user, client_name=name, **lasting)
        tokens[name] = hass.auth.async_create_access_token(token)
    await hass.async_start()
    print(json.dumps(tokens), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
