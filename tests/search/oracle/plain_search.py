"""The whole of search over a list of resources, https://hl7.org/fhir/R4/search.html: which ones, in which order.

Latitude taken as the server documents it (docs/reference/search.md, docs/decisions/0002-search.md):

- without ``_sort`` the newest created come first; ties of the last sort key go by creation in that key's direction;
- resources without a value come last, whichever the direction of a sort key;
- a chain through a reference to any of several types follows those types that the rest of the chain can search;
- a value that the parameter's type can't hold (``performedString`` under a date) counts as missing;
- ``:not`` and ``:not-in`` with several values exclude all of them;
- a contained resource was last updated when its container was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from conformance.definitions import SearchParameter, compartments
from tests.search.oracle import composites, dates, numbers, order, position, references, strings, tokens
from tests.search.oracle.definitions import Pairs, evaluate, parameters_of
from tests.search.oracle.filters import Compared, Filter, parse_filter
from tests.search.oracle.terminology import Terminology
from tests.search.oracle.written import split, unescape

Resource = dict[str, Any]
Found = frozenset[int]
SHAPING = ("_sort", "_count", "_total", "_type")


class PlainSearch:
    """Resources in the order of their creation; searching looks at each of them."""

    def __init__(self, resources: Sequence[Resource], base_url: str, now: datetime) -> None:
        self.resources = list(resources)
        self.base_url = base_url
        self.now = now
        self.terminology = Terminology(resources)
        self.place = {f"{r['resourceType']}/{r['id']}": number for number, r in enumerate(resources)}
        self.of_type: dict[str, list[int]] = {}
        for number, resource in enumerate(resources):
            self.of_type.setdefault(resource["resourceType"], []).append(number)
        # "A chained condition will be evaluated inside contained resources": they come after all others.
        self.inside: dict[int, dict[str, int]] = {}
        self.contained_of_type: dict[str, list[int]] = {}
        for number, resource in enumerate(resources):
            names = self.inside[number] = {"#": number}
            for contained in resource.get("contained", ()):
                names["#" + contained["id"]] = len(self.resources)
                self.inside[len(self.resources)] = names
                self.contained_of_type.setdefault(contained["resourceType"], []).append(len(self.resources))
                self.resources.append(contained)
        self._values: dict[tuple[int, str], Pairs] = {}
        self.criterion = cache(self._criterion)

    def search(
        self, resource_type: str | None, query: Sequence[tuple[str, str]], compartment: tuple[str, str] | None = None
    ) -> list[str]:
        """Return ``Type/id`` of the matches in order. Without a type, ``_type`` or all types are searched."""
        shaping = {name: value for name, value in query if name in SHAPING}
        types = [resource_type] if resource_type else shaping.get("_type", "").split(",")
        if types == [""]:
            types = list(self.of_type)
        found: set[int] = set()
        for type_ in types:
            matching = set(self.of_type.get(type_, ()))
            for name, value in query:
                if name not in SHAPING:
                    matching &= self.criterion(type_, name, value)
            if compartment is not None:
                matching &= self._members(compartment, type_)
            found |= matching
        ordered = self.ordered(found, shaping.get("_sort"))
        return [self.name(number) for number in ordered]

    def name(self, number: int) -> str:
        """Return ``Type/id`` of a resource."""
        resource = self.resources[number]
        return f"{resource['resourceType']}/{resource['id']}"

    def values(self, number: int, parameter: SearchParameter) -> Pairs:
        """Return what a parameter finds in a resource."""
        place = number, parameter.code
        if place not in self._values:
            shared = parameter.code == "_lastUpdated"
            resource = self.resources[self.inside[number]["#"] if shared else number]
            expression = parameter.expression
            found = evaluate(expression, resource["resourceType"], resource) if expression else []
            self._values[place] = [pair for pair in found if _usable(parameter.type, *pair)]
        return self._values[place]

    def read_by(self, number: int, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return what the parameters that a query names read in a resource, for messages."""
        known = parameters_of(self.resources[number]["resourceType"])
        names = [re.split(r"[.:]", name)[0] for name, _ in query]
        names += [key.removeprefix("-") for name, value in query if name == "_sort" for key in value.split(",")]
        read = {name: self.values(number, known[name]) for name in names if name in known}
        return read or {k: v for k, v in self.resources[number].items() if k not in ("resourceType", "id")}

    def ordered(self, found: Iterable[int], sort: str | None) -> list[int]:
        """Return matches in the order of ``_sort``."""
        keys = sort.split(",") if sort else []
        out = sorted(found, reverse=not keys or keys[-1].startswith("-"))
        for key in reversed(keys):
            code, descending = key.removeprefix("-"), key.startswith("-")
            valued: list[tuple[Any, int]] = []
            lacking: list[int] = []
            for number in out:
                resource_type = self.resources[number]["resourceType"]
                parameter = parameters_of(resource_type)[code]
                values = order.sort_values(resource_type, parameter, self.values(number, parameter), self.base_url)
                if values:
                    valued.append(((max if descending else min)(values), number))
                else:
                    lacking.append(number)
            valued.sort(key=lambda pair: pair[0], reverse=descending)
            out = [number for _, number in valued] + lacking
        return out

    def _criterion(self, resource_type: str, name: str, value: str) -> Found:
        if name.startswith("_has:"):
            return self._reversed(resource_type, name, value)
        head, dot, rest = name.partition(".")
        if dot:
            return self._chained(resource_type, head, rest, value)
        candidates = self._candidates(resource_type)
        if name == "_list":
            return frozenset(candidates).intersection(*[set().union(*map(self._listed, value.split(",")))])
        if name == "_filter":
            tree = parse_filter(value)
            return frozenset(number for number in candidates if self._filtered(number, tree))
        code, _, modifier = name.partition(":")
        parameter = parameters_of(resource_type)[code]
        return frozenset(n for n in candidates if self._compared(n, parameter, modifier or None, value))

    def _reversed(self, resource_type: str, name: str, value: str) -> Found:
        """``_has:Observation:patient:code``: what the Observations found refer to by ``patient``."""
        _, source, code, rest = name.split(":", 3)
        found: set[int] = set()
        for number in self.criterion(source, rest, value).intersection(self.of_type[source]):
            found |= self._targets(number, parameters_of(source)[code])
        return frozenset(found) & frozenset(self._candidates(resource_type))

    def _chained(self, resource_type: str, head: str, rest: str, value: str) -> Found:
        code, _, only = head.partition(":")
        parameter = parameters_of(resource_type)[code]
        wanted: set[int] = set()
        for target in [only] if only else self.of_type:
            if self.can_search(target, rest):
                wanted |= self.criterion(target, rest, value)
        candidates = self._candidates(resource_type)
        return frozenset(n for n in candidates if wanted & self._targets(n, parameter))

    def can_search(self, resource_type: str, name: str) -> bool:
        """Tell whether a type can be searched by a name, chains followed."""
        if name.startswith("_has:"):
            _, source, code, rest = name.split(":", 3)
            return code in parameters_of(source) and self.can_search(source, rest)
        head, dot, rest = name.partition(".")
        code, _, only = head.partition(":")
        parameter = parameters_of(resource_type).get(code)
        if parameter is None or not dot:
            return parameter is not None
        targets = [only] if only else parameter.target or tuple(self.of_type)
        return parameter.type == "reference" and any(self.can_search(t, rest) for t in targets if t in self.of_type)

    def _targets(self, number: int, parameter: SearchParameter) -> set[int]:
        pairs = self.values(number, parameter)
        local = (references.local(value, self.base_url) for _, value in pairs)
        inside = self.inside[number]
        contained = {inside[text] for _, value in pairs if (text := references.target(value)) in inside}
        return contained | {self.place[name] for name in local if name in self.place}

    def _candidates(self, resource_type: str) -> list[int]:
        """Return all resources of a type, those inside of others, too, for the sake of chains."""
        return self.of_type.get(resource_type, []) + self.contained_of_type.get(resource_type, [])

    def _listed(self, id_: str) -> set[int]:
        return self._targets(self.place[f"List/{id_}"], parameters_of("List")["item"])

    def _members(self, compartment: tuple[str, str], resource_type: str) -> set[int]:
        """Return the resources of a type in a compartment, https://hl7.org/fhir/R4/compartmentdefinition.html."""
        kind, id_ = compartment
        own = {self.place[f"{kind}/{id_}"]} if resource_type == kind else set[int]()
        codes = compartments()[kind].get(resource_type, ())
        for code in codes:
            parameter = parameters_of(resource_type).get(code)
            for number in self.of_type[resource_type] if parameter else ():
                assert parameter is not None
                if self.place[f"{kind}/{id_}"] in self._targets(number, parameter):
                    own.add(number)
        return own

    def _compared(self, number: int, parameter: SearchParameter, modifier: str | None, value: str) -> bool:
        pairs = self.values(number, parameter)
        if modifier == "missing":
            return (not pairs) == (value == "true")
        if parameter.type == "composite":
            return any(composites.holds(self, number, parameter, text) for text in split(value, ","))
        if parameter.code == "phonetic":
            texts = [text for pair in pairs for text in strings.strings(*pair)]
            return any(strings.sounds_alike(texts, unescape(text)) for text in split(value, ","))
        found = any(self.holds(number, parameter, modifier, pair, text) for pair in pairs for text in split(value, ","))
        return not found if modifier in ("not", "not-in") else found

    def holds(
        self, number: int, parameter: SearchParameter, modifier: str | None, pair: tuple[str, Any], text: str
    ) -> bool:
        """Tell whether one value of a resource fulfils one of the alternatives of a parameter, still escaped."""
        fhir_type, value = pair
        if value is None:
            return False
        match parameter.type:
            case "string":
                return strings.holds(fhir_type, value, modifier, unescape(text))
            case "token":
                resource_type = self.resources[number]["resourceType"]
                implied = tokens.implied_system(resource_type, parameter, value) if fhir_type == "code" else None
                return tokens.holds(fhir_type, value, modifier, text, implied, self.terminology)
            case "reference":
                if modifier in ("above", "below"):
                    return self._in_hierarchy(value, modifier, text)
                if modifier in ("text", "code-text"):
                    display = value.get("display", "") if isinstance(value, dict) else ""
                    return bool(display) and strings.holds("string", display, None, unescape(text))
                return references.holds(value, modifier, text, self.base_url)
            case "date":
                return dates.holds(fhir_type, value, unescape(text), self.now)
            case "number":
                return numbers.number_holds(fhir_type, value, text)
            case "quantity":
                return numbers.quantity_holds(fhir_type, value, text)
            case "uri":
                return references.uri_holds(fhir_type, value, modifier, text)
            case "special":
                return position.holds(value, text)
        raise NotImplementedError(parameter.type)

    def _in_hierarchy(self, value: Any, modifier: str, text: str) -> bool:
        """Follow references among resources of one type, https://hl7.org/fhir/R4/search.html#recursive."""
        has, searched = references.local(value, self.base_url), references.local(unescape(text), self.base_url)
        if has not in self.place or searched not in self.place:
            return has is not None and has == searched
        assert searched is not None
        lower, upper = (has, searched) if modifier == "below" else (searched, has)
        return self.place[upper] in self._ancestors(self.place[lower])

    def _ancestors(self, number: int) -> set[int]:
        """Return a resource and all that it is part of."""
        resource_type = self.resources[number]["resourceType"]
        found, new = set[int](), {number}
        upwards = HIERARCHIES.get(resource_type)
        while new:
            found |= new
            steps = (self._targets(n, parameters_of(resource_type)[upwards]) for n in new) if upwards else ()
            new = set().union(*steps) - found
        return found

    def _filtered(self, number: int, tree: Filter) -> bool:
        if isinstance(tree, Compared):
            return self._filter_compared(number, tree)
        held = [self._filtered(number, part) for part in tree.parts]
        match tree.operator:
            case "and":
                return all(held)
            case "or":
                return any(held)
            case _:
                return not held[0]

    def _filter_compared(self, number: int, part: Compared) -> bool:
        """Compare by the table of operators in https://hl7.org/fhir/R4/search_filter.html#ops."""
        resource_type = self.resources[number]["resourceType"]
        head, dot, rest = part.path.partition(".")
        code, _, only = head.partition(":")
        if dot:
            beyond = self._targets(number, parameters_of(resource_type)[code])
            followed = [n for n in beyond if only in ("", self.resources[n]["resourceType"])]
            return any(
                self._filter_compared(n, Compared(rest, part.operator, part.value))
                for n in followed
                if self.can_search(self.resources[n]["resourceType"], rest)
            )
        parameter = parameters_of(resource_type)[code]
        pairs = self.values(number, parameter)
        if part.operator == "pr":
            return bool(pairs) == (part.value == "true")
        if part.operator == "ni":  # "True if none of the concepts are in the nominated value set"
            return not any(self.holds(number, parameter, "in", pair, part.value) for pair in pairs)
        return any(self._filter_holds(number, parameter, pair, part) for pair in pairs)

    def _filter_holds(self, number: int, parameter: SearchParameter, pair: tuple[str, Any], part: Compared) -> bool:
        if part.operator == "po":  # "a (implied) date period in the set overlaps with the implied period in the value"
            wanted = dates.span(part.value)
            return any(low < wanted[1] and high > wanted[0] for low, high in dates.spans(*pair))
        if part.operator in SUBSUMPTION:
            return self.holds(number, parameter, SUBSUMPTION[part.operator], pair, part.value)
        if parameter.type in ("date", "number", "quantity"):
            return self.holds(number, parameter, None, pair, part.operator + part.value)
        texts = strings.strings(*pair) if parameter.type == "string" else []
        has, searched = [strings.plain(text) for text in texts], strings.plain(part.value)
        match part.operator, parameter.type:
            case "eq", "string":
                return searched in has
            case "ne", "string":
                return any(text != searched for text in has)
            case "co", "string":
                return any(searched in text for text in has)
            case "sw", "string":
                return any(text.startswith(searched) for text in has)
            case "ew", "string":
                return any(text.endswith(searched) for text in has)
            case "eq" | "re", _:
                return self.holds(number, parameter, None, pair, part.value)
            case "ne", _:
                return not self.holds(number, parameter, None, pair, part.value)
        raise NotImplementedError(part.operator)


# A value subsumes (``ss``) what is below it.
SUBSUMPTION: Mapping[str, str] = {"ss": "below", "sb": "above", "in": "in"}
# The parameter by which resources of a type are parts of others.
HIERARCHIES: Mapping[str, str] = {
    "Location": "partof",
    "Organization": "partof",
    "Encounter": "part-of",
    "Procedure": "part-of",
}


def _usable(parameter_type: str, fhir_type: str, value: Any) -> bool:
    """Tell whether a value is one that a parameter of some type can compare."""
    match parameter_type:
        case "date":
            return fhir_type in dates.TYPES and bool(dates.spans(fhir_type, value))
        case "number" | "quantity":
            return numbers.limits(fhir_type, value) is not None
        case "string":
            return bool(strings.strings(fhir_type, value))
        case _:
            return value is not None
