"""Attachments: size and hash agree with the data, https://hl7.org/fhir/R4/datatypes.html#Attachment."""

from __future__ import annotations

import base64
import binascii
import hashlib

from conformance.validation.run import Json, Run, Where


def check_attachment(attachment: Json, where: Where, run: Run) -> None:
    """Report a size or a hash that is not that of the data."""
    text = attachment.get("data")
    size, digest = attachment.get("size"), attachment.get("hash")
    if type(text) is not str or (size is None and digest is None):
        return
    try:
        data = base64.b64decode(text)
    except (binascii.Error, ValueError):
        return  # the format is reported by the structure
    if type(size) is int and size != len(data):
        message = f"The size is given as {size} bytes, but the data has {len(data)} (att-size)"
        run.report("error", "value", message, (where, "size", None))
    # The hash is SHA-1 by definition, of the data as they are, not as base64.
    if type(digest) is str and digest != base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode():
        message = "The hash is not the SHA-1 hash of the data (att-hash)"
        run.report("error", "value", message, (where, "hash", None))
