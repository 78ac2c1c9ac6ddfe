"""A service that is connected at its own site, for the tests of the pages; the server imports it."""

import os

from tests.oauth import vendor

service = vendor.service(os.environ["VENDOR_ISSUER"])
