"""Parameters resources as the engine's parameters, https://hl7.org/fhir/R4/parameters.html.

Beside what R4 defines, what terminology clients send to every server is read: ``property`` and ``useSupplement`` of
R5's operations, ``activeOnly``, ``lenient-display-validation``, ``valueset-membership-only`` and ``inferSystem`` of
https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields
from functools import cache
from typing import Any, TypeVar, cast

from conformance.terminology.code_system import Json
from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.errors import TerminologyError, invalid
from conformance.terminology.expand import ExpandParameters
from conformance.terminology.find_matches import FindMatchesParameters, WantedProperty
from conformance.terminology.lookup import LookupParameters, SubsumesParameters
from conformance.terminology.translate import TranslateParameters
from conformance.terminology.versions import VersionRules, parse_rules

T = TypeVar("T")
_RULES = {"system-version": "default", "check-system-version": "check", "force-system-version": "force"}
# Names that aren't the field's in camel case.
_NAMES = {
    "lenient-display-validation": "lenient_display",
    "valueset-membership-only": "membership_only",
    "exclude-system": "exclude_system",
    "excludeNotForUI": "exclude_not_for_ui",
    "targetsystem": "target_system",
}
# Fields that callers fill otherwise.
_WITHOUT_NAME = frozenset(("rules", "concept_maps"))
_Reader = Callable[[Json], Any]


def value_of(parameter: Json) -> Any:
    """Return the value or the resource of a parameter. Raises TerminologyError when it has neither."""
    if "resource" in parameter:
        return parameter["resource"]
    for name, value in parameter.items():
        if name.startswith("value"):
            return value
    raise invalid(f"the parameter {parameter.get('name')} has no value")


def _typed(parameter: Json, kind: type[T]) -> T:
    value = value_of(parameter)
    if type(value) is not kind:
        raise _mistyped(parameter.get("name", ""))
    return value


def _mistyped(name: str) -> TerminologyError:
    return invalid(f"the value of the parameter {name} is not of its type")


def type_of(parameter: Json) -> str:
    """Return the FHIR type of a parameter's value, with a lower first letter if it is primitive."""
    name = next((name for name in parameter if name.startswith("value")), "valueString")[5:]
    return name if name in ("Coding", "CodeableConcept", "Quantity") else name[0].lower() + name[1:]


def _camel(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)


def read(kind: type[T], parameters: Json, parts: Mapping[str, _Reader] | None = None) -> tuple[T, list[str]]:
    """Return a Parameters resource as ``kind`` and the names in it that mean nothing there.

    ``parts`` reads parameters that have parts. Raises TerminologyError for one given twice that there is one of.
    """
    by_name = _fields_of(cast(Any, kind))
    given: dict[str, Any] = {}
    rules: dict[str, list[str]] = {}
    unknown: list[str] = []
    for parameter in parameters.get("parameter", ()):
        name = parameter.get("name", "")
        if name in _RULES and hasattr(kind, "rules"):
            rules.setdefault(_RULES[name], []).append(_typed(parameter, str))
            continue
        field = by_name.get(name)
        if field is None:
            unknown.append(name)
            continue
        value = (parts or {}).get(name, value_of)(parameter)
        repeats, kind_of_value = _expected(str(field.type))
        if kind_of_value is not None and type(value) is not kind_of_value:
            raise _mistyped(name)
        if repeats:
            given[field.name] = (*given.get(field.name, ()), value)
        elif field.name in given:
            raise invalid(f"the parameter {name} is given twice")
        else:
            given[field.name] = value
    if rules:
        given["rules"] = VersionRules(**{when: parse_rules(canonicals) for when, canonicals in rules.items()})
    return kind(**given), unknown


@cache
def _fields_of(kind: type[Any]) -> dict[str, Field[Any]]:
    """Return the fields of the parameters of an operation by the names that requests use."""
    known = {field.name: field for field in fields(kind)}
    by_name = {_camel(name): field for name, field in known.items() if name not in _WITHOUT_NAME}
    return by_name | {wire: known[name] for wire, name in _NAMES.items() if name in known}


@cache
def _expected(annotation: str) -> tuple[bool, type | None]:
    """Return whether a field holds several values, and the type of each, None where its reader sees to that."""
    repeats = annotation.startswith("tuple[")
    name = annotation.removeprefix("tuple[").split(",", maxsplit=1)[0].split(" |", maxsplit=1)[0]
    return repeats, {"str": str, "bool": bool, "int": int, "Json": dict}.get(name)


def read_expand(parameters: Json) -> tuple[ExpandParameters, list[str]]:
    """Return the parameters of ``$expand`` and the names that mean nothing there."""
    return read(ExpandParameters, parameters)


def read_validate_code(parameters: Json) -> tuple[ValidateCodeParameters, list[str]]:
    """Return the parameters of a value set's ``$validate-code`` and the names that mean nothing there."""
    return read(ValidateCodeParameters, parameters)


def read_validate_code_in_system(parameters: Json) -> tuple[ValidateCodeParameters, list[str]]:
    """Return the parameters of a code system's ``$validate-code``, where ``version`` is that of the system."""
    renamed = [
        p | {"name": "systemVersion"} if p.get("name") == "version" else p for p in parameters.get("parameter", ())
    ]
    return read(ValidateCodeParameters, {"parameter": renamed})


def read_lookup(parameters: Json) -> tuple[LookupParameters, list[str]]:
    """Return the parameters of ``$lookup`` and the names that mean nothing there."""
    return read(LookupParameters, parameters)


def read_subsumes(parameters: Json) -> tuple[SubsumesParameters, list[str]]:
    """Return the parameters of ``$subsumes`` and the names that mean nothing there."""
    return read(SubsumesParameters, parameters)


def read_translate(parameters: Json) -> tuple[TranslateParameters, list[str]]:
    """Return the parameters of ``$translate`` and the names that mean nothing there."""
    return read(TranslateParameters, parameters, {"dependency": _dependency})


def read_find_matches(parameters: Json) -> tuple[FindMatchesParameters, list[str]]:
    """Return the parameters of ``$find-matches`` and the names that mean nothing there."""
    return read(FindMatchesParameters, parameters, {"property": _property})


def _part(parameter: Json, name: str) -> Json:
    found: Iterable[Json] = (p for p in parameter.get("part", ()) if p.get("name") == name)
    part = next(iter(found), None)
    if part is None:
        raise invalid(f"the parameter {parameter.get('name')} has no part {name}")
    return part


def _dependency(parameter: Json) -> tuple[str, Json]:
    return _typed(_part(parameter, "element"), str), _typed(_part(parameter, "concept"), dict)


def _property(parameter: Json) -> WantedProperty:
    inner = tuple(_property(p) for p in parameter.get("part", ()) if p.get("name") == "subproperty")
    value = (
        _part(parameter, "value") if not inner else next((p for p in parameter["part"] if p.get("name") == "value"), {})
    )
    return WantedProperty(
        _typed(_part(parameter, "code"), str), type_of(value), value_of(value) if value else None, inner
    )
