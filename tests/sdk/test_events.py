"""What connectors are given of a webhook request."""

import pytest

from area.sdk import Permanent
from area.sdk.testing import delivery


def test_a_header_that_has_to_be_there_is_read_or_missed():
    assert delivery(headers={"X-Delivery": "7"}).header("x-delivery") == "7"
    for headers in ({}, {"X-Delivery": ""}):
        with pytest.raises(Permanent, match="X-Delivery header is missing"):
            delivery(headers=headers).header("X-Delivery")
