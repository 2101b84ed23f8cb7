"""Texts and URLs that a server's policy forbids, https://hl7.org/fhir/R4/security.html#narrative."""

from __future__ import annotations

import re
from typing import Any

from conformance.definitions import types
from conformance.primitives import describe
from conformance.shape import is_primitive, properties
from conformance.validation.run import Json, Run, Where

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_EXAMPLE = re.compile(r"https?://(?:[^/?#]+\.)?example\.(?:org|com|net)(?:[:/?#]|\Z)", re.IGNORECASE)
_TEXTS = frozenset({"string", "markdown", "code", "id"})
_URLS = frozenset({"url"})


def check_texts(resource: Json, where: Where, run: Run) -> None:
    """Report HTML tags in texts, and URLs of the domains for examples, as far as the policy forbids them."""
    if not run.policy.markup or not run.policy.example_urls:
        _check_object(resource, str(resource.get("resourceType")), where, run)


def _check_object(value: Json, type_name: str, where: Where, run: Run) -> None:
    if type_name not in types():
        return
    for element, group in properties(type_name).items():
        for p in group:
            found = value.get(p.name)
            listed = found if type(found) is list else [found]
            for index, item in enumerate(listed):
                here = (where, element, index if type(found) is list else None)
                if is_primitive(p.type):
                    _check_text(item, p.type, here, run)
                elif type(item) is dict and p.type != "Resource":
                    # Resources inside are held against the policy by themselves.
                    _check_object(item, p.type, here, run)


def _check_text(text: Any, type_name: str, where: Where, run: Run) -> None:
    if type(text) is not str:
        return
    if not run.policy.markup and type_name in _TEXTS and (tag := _TAG.search(text)):
        run.report("error", "security", f"HTML is not allowed in texts here: {describe(tag[0])} (policy-markup)", where)
    if not run.policy.example_urls and type_name in _URLS and _EXAMPLE.match(text):
        message = f"URLs of the domains for examples are not allowed here: {describe(text)} (policy-example-url)"
        run.report("error", "business-rule", message, where)
