"""Canaille, an OpenID server, with accounts, and one client, that come as JSON in argv. It forgets them when it ends.

It prints `{"port": …}` once it listens.
"""

import json
import sys

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

settings = json.loads(sys.argv[1])
server = make_server("127.0.0.1", 0, None, threaded=True)
server.app = create_app(
    {
        "SECRET_KEY": "a key of no matter that is long enough",
        "SERVER_NAME": f"127.0.0.1:{server.port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "HTMX": False},
        "CANAILLE_OIDC": {
            "ACTIVE_JWKS": [RSAKey.generate_key(2048).as_dict(private=True)],
            "TRUSTED_DOMAINS": ["none.invalid"],
        },
    }
)
with server.app.app_context(), Backend.instance.session():
    for name, email in settings["accounts"].items():
        user = models.User(user_name=name, formatted_name=name.title(), family_name=name.title(), emails=[email])
        user.password = settings["password"]
        Backend.instance.save(user)
    client = models.Client(
        client_id=settings["client_id"],
        client_secret=settings["client_secret"],
        client_name="AREA",
        redirect_uris=settings["redirect_uris"],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=["openid", "profile", "email"],
        token_endpoint_auth_method="client_secret_basic",
    )
    Backend.instance.save(client)
print(json.dumps({"port": server.port}), flush=True)
server.serve_forever()
