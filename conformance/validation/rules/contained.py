"""Contained resources are referred to by what contains them, or refer to it: https://hl7.org/fhir/R4/references.html#contained.

The same as dom-3, but naming the resource at fault, and counting what a narrative shows (``<img src="#id"/>``), as
https://hl7.org/fhir/R4/narrative.html#id allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from conformance.primitives import describe
from conformance.validation.run import Json, Run, Where

_LOCAL_LINK = re.compile(r"""(?:src|href)\s*=\s*["']#([A-Za-z0-9\-.]+)["']""")
_NOT_REFERENCES = frozenset({"div", "id"})


def check_contained(resource: Json, where: Where, run: Run) -> None:
    """Report contained resources that nothing refers to (dom-3)."""
    contained = resource.get("contained")
    if type(contained) is not list:
        return
    referred: set[str] = set()
    for name, value in resource.items():
        if name != "contained":
            referred.update(_references(name, value))
    waiting = [(index, one) for index, one in enumerate(contained) if type(one) is dict]
    # Contained resources may refer to each other, but one that only refers to itself has no place here.
    for _, one in waiting:
        own = set(_references("", one)) - {f"#{one.get('id')}"}
        referred |= own
    for index, one in waiting:
        if f"#{one.get('id')}" not in referred and "#" not in _references("", one):
            name = describe(one.get("id"))
            message = (
                f"Nothing in the resource refers to the contained resource {name}, nor does it refer to that (dom-3)"
            )
            run.report("error", "invariant", message, (where, "contained", index))


def _references(name: str, value: Any) -> Iterator[str]:
    """Yield all local references, as ``#id``, in a JSON value and below it."""
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if type(value) is dict:
            waiting += value.items()
        elif type(value) is list:
            waiting += ((name, item) for item in value)
        elif type(value) is str:
            if name == "div":
                yield from (f"#{found}" for found in _LOCAL_LINK.findall(value))
            elif value.startswith("#") and name not in _NOT_REFERENCES:
                yield value
