"""Comparing JSON with the digits of its numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from conformance.decode import encode


def with_digits(body: bytes) -> Any:
    """Parse JSON apart from msgspec, each number with a fraction or exponent as its digits."""
    return json.loads(body, parse_float=lambda digits: ("decimal", Decimal(digits).as_tuple()))


def digits_of(resource: Any) -> Any:
    """Return the same of a parsed resource."""
    return with_digits(encode(resource))
