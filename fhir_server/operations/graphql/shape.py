"""The form of an answer that FHIR's directives ask for, https://hl7.org/fhir/R4/graphql.html#directives.

While a query is answered, fields with directives stand under themselves instead of their names; here they become names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.operations.graphql.plan import Field


@dataclass(frozen=True, slots=True)
class Sliced:
    """The items of a list, each with the name that its slice gives it."""

    parts: list[tuple[str, Any]]


def shaped(out: dict[Any, Any]) -> dict[str, Any]:
    """Return an answer with all directives carried out."""
    return _object(out)[0]


def _assemble(out: Any) -> Any:
    if isinstance(out, dict):
        return _object(out)[0]
    if isinstance(out, list):
        return [_assemble(item) for item in out]
    return out


def _object(out: dict[Any, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return an object, and which of its keys hold a single value whatever list they are flattened out of."""
    made: dict[str, Any] = {}
    single: set[str] = set()
    for key, value in out.items():
        if not isinstance(key, Field):
            made[key] = _assemble(value)
        elif isinstance(value, Sliced):
            for name, item in value.parts:
                _put(made, f"{key.key}.{name}" if name else key.key, _assemble(item), key.flatten)
        elif key.flatten:
            _flatten(made, single, value)
        else:
            made[key.key] = _assemble(value)
        if isinstance(key, Field) and key.singleton:
            single.add(key.key)
    return made, frozenset(single)


def _flatten(made: dict[str, Any], single: set[str], value: Any) -> None:
    """Put the fields of an object, or of each in a list, into the object around it; those of a list become lists."""
    several = isinstance(value, list)
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        inner, alone = _object(item)
        for name, part in inner.items():
            if not several or name in alone:
                if made.get(name) is None:
                    made[name] = part
                single.update({name} & alone)
            else:
                gathered = made.setdefault(name, [])
                gathered.extend(part if isinstance(part, list) else [part] if part is not None else [])


def _put(made: dict[str, Any], name: str, item: Any, flatten: bool) -> None:
    if flatten and isinstance(item, dict):
        for key, value in item.items():
            made[f"{name}.{key}"] = value
    elif name in made:
        made[name] = [*made[name], item] if isinstance(made[name], list) else [made[name], item]
    else:
        made[name] = item
