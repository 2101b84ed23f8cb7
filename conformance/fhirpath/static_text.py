"""Tests on a text at a known path: ``name.matches('…')``, ``url.startsWith('http')``.

https://hl7.org/fhirpath/N1/#string-manipulation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conformance.fhirpath.patterns import compile_pattern, find_match
from conformance.fhirpath.projection import NotStatic
from conformance.fhirpath.static_paths import TEXT_TYPES, Context, Test, compile_path, this
from conformance.fhirpath.syntax import Expression

if TYPE_CHECKING:
    from conformance.fhirpath.constraints import ConstraintScope


def compile_text_test(target: Expression | None, name: str, text: str, context: Context) -> tuple[Test, Test]:
    """Return the tests whether ``target.name('text')`` is true and whether it is false."""
    path = this(context) if target is None else compile_path(target, context)
    if path.many or path.type_name not in TEXT_TYPES:
        raise NotStatic
    run, test = path.run, _test(name, text)

    def true(v: Any, scope: ConstraintScope) -> bool:
        value = run(v, scope)
        return value is not None and test(value)

    def false(v: Any, scope: ConstraintScope) -> bool:
        value = run(v, scope)
        return value is not None and not test(value)

    return true, false


def _test(name: str, text: str) -> Callable[[str], bool]:
    if name == "startsWith":
        return lambda value: value.startswith(text)
    if name == "endsWith":
        return lambda value: value.endswith(text)
    if name == "contains":
        return lambda value: text in value
    pattern = compile_pattern(text)
    return lambda value: find_match(pattern, value)
