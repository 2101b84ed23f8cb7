"""Random searches over the parameters of the registry, with values taken from the resources.

Every parameter of every type comes up in turn as the first criterion; chains, ``_has``, ``_filter``, further criteria,
``_sort``, ``_type`` and compartments are added by chance. https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import Any

from conformance.definitions import SearchParameter, compartments
from tests.search.oracle import composites, order, tokens, wordings
from tests.search.oracle.asked import Criterion, Query
from tests.search.oracle.definitions import component_parameter, evaluate, parameters_of
from tests.search.oracle.plain_search import HIERARCHIES, PlainSearch
from tests.search.oracle.pools import UCUM
from tests.search.oracle.references import local
from tests.search.oracle.resources import TYPES
from tests.search.oracle.written import PREFIXES, split, unescape

COMMON = ("_id", "_lastUpdated", "_profile", "_tag", "_security", "_source")
RARE = ("composite", "special", "quantity", "number")
# What the server computes when it writes, so that it can't be sorted by.
UNSORTABLE = ("phonetic", "deceased")
HIERARCHICAL = ("partof", "part-of", "location", "organization")
# Types that a reference may point to beyond which a chain has to name one.
MOST_TARGETS = 12


class Asker:
    """Makes queries about the resources of a plain search."""

    def __init__(self, random: Random, search: PlainSearch) -> None:
        self.random = random
        self.search = search
        self._used: dict[tuple[str, str], bool] = {}
        self._linked: dict[str, list[tuple[SearchParameter, str]]] = {}
        self.parameters = [(t, p) for t in TYPES for p in parameters_of(t).values() if self._usable(t, p)]
        # Few parameters are of these types, and their rules are many.
        self._rare = [(t, p) for t, p in self.parameters if p.type in RARE or p.code in HIERARCHICAL]
        self._turns = cycle(self.parameters)

    def _usable(self, resource_type: str, parameter: SearchParameter) -> bool:
        place = resource_type, parameter.code
        if place not in self._used:
            self._used[place] = self._is_used(resource_type, parameter)
        return self._used[place]

    def _is_used(self, resource_type: str, parameter: SearchParameter) -> bool:
        """Tell whether some resource has what the parameter reads."""
        if parameter.expression is None:
            return False
        if parameter.type == "composite":
            return all(self._parts(resource_type, parameter, expression) for _, expression in parameter.component)
        return any(self._pairs(number, parameter) for number in self.search.of_type[resource_type])

    def _pairs(self, number: int, parameter: SearchParameter) -> list[tuple[str, Any]]:
        if parameter.type == "composite":
            return composites.elements(self.search.resources[number], parameter)
        return [pair for pair in self.search.values(number, parameter) if pair[1] is not None]

    def queries(self) -> Iterator[Query]:
        """Yield queries without end."""
        while True:
            kind = self.random.random()
            if kind < 0.03:
                yield self._system()
            elif kind < 0.08:
                yield self._in_compartment()
            else:
                rare = kind < 0.2
                resource_type, parameter = self.random.choice(self._rare) if rare else next(self._turns)
                yield self._of_type(resource_type, [self._criterion(resource_type, parameter)])

    def _of_type(
        self, resource_type: str, criteria: list[Criterion], compartment: tuple[str, str] | None = None
    ) -> Query:
        random = self.random
        extra = random.random()
        if extra < 0.12:
            criteria.append(self._chain(resource_type, random.choice((1, 1, 2, 2, 3))))
        elif extra < 0.2:
            criteria.append(self._has(resource_type, random.choice((1, 1, 2))))
        elif extra < 0.26:
            criteria.append(self._filter(resource_type))
        elif extra < 0.28:
            criteria.append(self._list())
        elif extra < 0.31 and criteria:
            # The same parameter again: both must hold, each perhaps for another value.
            again = parameters_of(resource_type)[criteria[0].name.partition(":")[0]]
            criteria.append(self._criterion(resource_type, again))
        elif extra < 0.45:
            criteria.append(self._criterion(resource_type, self._any_parameter(resource_type)))
        if extra < 0.28 and random.random() < 0.6:
            criteria = criteria[1:]  # the rarer kind alone, so that it decides
        pairs = [(c.name, c.value) for c in criteria]
        features = frozenset[str]().union(*(c.features for c in criteria))
        if random.random() < 0.35:
            keys, needed = self._sort(resource_type)
            pairs.append(("_sort", keys))
            features |= needed
        if compartment:
            features |= {"compartment"}
        return Query(resource_type, compartment, tuple(pairs), features, not compartment and random.random() < 0.05)

    def _list(self) -> Criterion:
        lists = self.random.sample([f"a{number}" for number in range(20)], self.random.choice((1, 1, 2)))
        return Criterion("_list", ",".join(lists), frozenset({"_list"}))

    def _any_parameter(self, resource_type: str) -> SearchParameter:
        known = [p for p in parameters_of(resource_type).values() if self._usable(resource_type, p)]
        return self.random.choice(known)

    def _system(self) -> Query:
        types = self.random.sample(TYPES, self.random.choice((1, 2, 4)))
        parameter = parameters_of(types[0])[self.random.choice(COMMON)]
        criterion = self._criterion(types[0], parameter)
        pairs = [(criterion.name, criterion.value)]
        if self.random.random() < 0.8:
            pairs.append(("_type", ",".join(types)))
        if self.random.random() < 0.4:
            keys = self.random.sample(("_id", "_lastUpdated", "-_id", "-_lastUpdated"), self.random.choice((1, 2)))
            pairs.append(("_sort", ",".join(keys[:1] if len({key.lstrip("-") for key in keys}) == 1 else keys)))
        return Query(None, None, tuple(pairs), criterion.features | {"_type"}, self.random.random() < 0.2)

    def _in_compartment(self) -> Query:
        kind = self.random.choice(("Patient", "Patient", "Practitioner", "Encounter"))
        if self.random.random() < 0.15:
            place = kind, f"a{self.random.randrange(20)}"
            tag = self._criterion("Observation", parameters_of("Observation")[self.random.choice(COMMON)])
            return Query(None, place, ((tag.name, tag.value),), tag.features | {"compartment"})
        members = [t for t, codes in compartments()[kind].items() if t in TYPES and codes and t != kind]
        resource_type = self.random.choice(sorted(members))
        criteria = [self._criterion(resource_type, self._any_parameter(resource_type))]
        if self.random.random() < 0.4:
            criteria = []
        return self._of_type(resource_type, criteria, (kind, f"a{self.random.randrange(20)}"))

    def _criterion(self, resource_type: str, parameter: SearchParameter) -> Criterion:
        random = self.random
        if random.random() < 0.06 and parameter.type not in ("composite", "special") and parameter.code != "phonetic":
            return Criterion(f"{parameter.code}:missing", random.choice(("true", "false")), frozenset())
        modifier = self._modifier(resource_type, parameter)
        features = (
            {"phonetic"}
            if parameter.code == "phonetic"
            else {parameter.type}
            if parameter.type in ("composite", "special")
            else set()
        )
        if modifier:
            features.add(f"{parameter.type}:{modifier if modifier[0].islower() else '[type]'}")
        alternatives = [] if modifier in ("in", "not-in", "below", "above") else [1, 1, 2]
        count = random.choice((1, 1, 1, *alternatives))
        texts = [self._text(resource_type, parameter, modifier) for _ in range(count)]
        if parameter.type == "reference" and any(self.search.base_url in text for text in texts):
            features.add("own base")
        if any(f"|{UCUM}|" in text for text in texts):
            features.add("units")
        if parameter.type == "composite" and any(part.endswith("|") for text in texts for part in split(text, "$")):
            features.add("composite of a whole system")
        name = f"{parameter.code}:{modifier}" if modifier else parameter.code
        return Criterion(name, ",".join(texts), frozenset(features))

    def _modifier(self, resource_type: str, parameter: SearchParameter) -> str | None:
        known = list(wordings.MODIFIERS.get(parameter.type, ()))
        if parameter.code in HIERARCHICAL:
            known += ["above", "below", "above", "below"]
        if not known or self.random.random() < 0.5 or parameter.code in ("_id", "phonetic"):
            return None
        kinds = {pair[0] for n in self.search.of_type[resource_type] for pair in self._pairs(n, parameter)}
        modifier = self.random.choice(known)
        if kinds == {"Identifier"} and self.random.random() < 0.4:
            modifier = "of-type"
        if modifier == "of-type" and kinds != {"Identifier"}:
            return "not"
        if modifier in ("text", "code-text") and parameter.type == "reference":
            return modifier if "Reference" in kinds else None
        if modifier in ("text", "code-text") and not kinds & {"CodeableConcept", "Coding", "Identifier"}:
            return "not"
        if modifier in ("in", "not-in", "above", "below") and parameter.type == "token":
            return modifier if kinds <= {"CodeableConcept", "Coding"} else "not"
        if modifier in ("above", "below") and parameter.type == "reference":
            return modifier if parameter.target and set(parameter.target) <= set(HIERARCHIES) else None
        if modifier == "[type]":
            found = [
                local(pair[1], "") for n in self.search.of_type[resource_type] for pair in self._pairs(n, parameter)
            ]
            types = sorted({name.partition("/")[0] for name in found if name})
            return self.random.choice(types) if types and "Reference" in kinds else None
        if modifier == "identifier" and "Reference" not in kinds:
            return None
        return modifier

    def _pair(self, resource_type: str, parameter: SearchParameter) -> tuple[int, tuple[str, Any]]:
        """Return a value that some resource has, with that resource."""
        numbers = self.search.of_type[resource_type]
        having = [number for number in numbers if self._pairs(number, parameter)]
        number = self.random.choice(having)
        return number, self.random.choice(self._pairs(number, parameter))

    def _text(self, resource_type: str, parameter: SearchParameter, modifier: str | None) -> str:
        _, pair = self._pair(resource_type, parameter)
        if parameter.type == "composite":
            return self._composite(resource_type, parameter, pair)
        return self._worded(resource_type, parameter, modifier, pair)

    def _worded(
        self, resource_type: str, parameter: SearchParameter, modifier: str | None, pair: tuple[str, Any]
    ) -> str:
        random = self.random
        match parameter.type:
            case "string":
                return wordings.string(random, modifier, pair)
            case "token":
                implied = tokens.implied_system(resource_type, parameter, pair[1]) if pair[0] == "code" else None
                return wordings.token(random, modifier, pair, implied)
            case "reference":
                return wordings.reference(random, modifier, pair, self.search.base_url)
            case "date":
                return wordings.date(random, pair)
            case "number":
                return wordings.number(random, pair)
            case "quantity":
                return wordings.quantity(random, pair)
            case "uri":
                return wordings.uri(random, modifier, pair)
            case _:
                return wordings.near(random, pair[1])

    def _composite(self, resource_type: str, parameter: SearchParameter, element: tuple[str, Any]) -> str:
        """Return the parts of one element, or of two, so that they don't meet."""
        parts = []
        for url, expression in parameter.component:
            compared = component_parameter(url)
            found: list[tuple[str, Any]] = evaluate(expression, *element)
            if not found or self.random.random() < 0.2:
                found = self._parts(resource_type, parameter, expression)
            parts.append(self._worded(resource_type, compared, None, self.random.choice(found)))
        return "$".join(parts)

    def _parts(self, resource_type: str, parameter: SearchParameter, expression: str) -> list[tuple[str, Any]]:
        """Return all values of one component of a composite parameter."""
        numbers = self.search.of_type[resource_type]
        elements = [element for number in numbers for element in self._pairs(number, parameter)]
        return [pair for element in elements for pair in evaluate(expression, *element)]

    def _links(self, resource_type: str) -> list[tuple[SearchParameter, str]]:
        """Return (parameter, type) of the references that resources of a type hold."""
        if resource_type in self._linked:
            return self._linked[resource_type]
        found = self._linked[resource_type] = []
        for parameter in parameters_of(resource_type).values():
            if parameter.type == "reference" and parameter.expression:
                names = {
                    local(pair[1], self.search.base_url)
                    for number in self.search.of_type[resource_type]
                    for pair in self._pairs(number, parameter)
                    if pair[0] == "Reference"
                }
                types = {name.partition("/")[0] for name in names if name and name in self.search.place}
                found += [(parameter, type_) for type_ in sorted(types)]
        return found

    def _end(self, resource_type: str) -> Criterion:
        """Return the last criterion of a chain."""
        return self._criterion(resource_type, self._any_parameter(resource_type))

    def _chain(self, resource_type: str, depth: int) -> Criterion:
        links = self._links(resource_type)
        if depth == 0 or not links:
            return (
                self._has(resource_type, 1) if depth == 0 and self.random.random() < 0.1 else self._end(resource_type)
            )
        parameter, target = self.random.choice(links)
        rest = self._chain(target, depth - 1)
        step = parameter.code if self._same_for_all(parameter, target, rest.name) else f"{parameter.code}:{target}"
        return Criterion(f"{step}.{rest.name}", rest.value, rest.features)

    def _same_for_all(self, parameter: SearchParameter, target: str, rest: str) -> bool:
        """Tell whether a chain may leave the type out: the rest means the same on all types that may be meant."""
        if len(parameter.target) > MOST_TARGETS or not parameter.target or self.random.random() < 0.4:
            return False
        code = rest.replace(":", ".").partition(".")[0]
        if "." in rest or code == "_has":
            return False
        kinds = {parameters_of(t)[code].type for t in parameter.target if code in parameters_of(t)}
        return kinds == {parameters_of(target)[code].type}

    def _has(self, resource_type: str, depth: int) -> Criterion:
        sources = [
            (source, parameter)
            for source in TYPES
            for parameter, target in self._links(source)
            if target == resource_type
        ]
        if not sources:
            return self._end(resource_type)
        source, parameter = self.random.choice(sources)
        inner = self._end if depth == 1 else self.random.choice((self._linked_end, self._reversed_end))
        rest = inner(source)
        return Criterion(f"_has:{source}:{parameter.code}:{rest.name}", rest.value, rest.features | {"_has"})

    def _linked_end(self, resource_type: str) -> Criterion:
        return self._chain(resource_type, 1)

    def _reversed_end(self, resource_type: str) -> Criterion:
        return self._has(resource_type, 1)

    def _filter(self, resource_type: str) -> Criterion:
        text = self._filter_tree(resource_type, self.random.choice((0, 1, 1, 2)))
        features = {"_filter", "_filter ne"} if " ne " in text else {"_filter"}
        return Criterion("_filter", text, frozenset(features))

    def _filter_tree(self, resource_type: str, depth: int) -> str:
        if depth:
            left, right = (self._filter_tree(resource_type, depth - 1) for _ in range(2))
            return self.random.choice((f"({left}) and ({right})", f"({left}) or ({right})", f"not ({left})"))
        known = [
            parameter
            for parameter in parameters_of(resource_type).values()
            if parameter.type in order.SORTABLE
            and parameter.code != "phonetic"
            and self._usable(resource_type, parameter)
        ]
        links = self._links(resource_type)
        if links and self.random.random() < 0.2:
            parameter, target = self.random.choice(links)
            return f"{parameter.code}:{target}.{self._filter_tree(target, 0)}"
        return self._filter_part(resource_type, self.random.choice(known))

    def _filter_part(self, resource_type: str, parameter: SearchParameter) -> str:
        random = self.random
        _, pair = self._pair(resource_type, parameter)
        if random.random() < 0.15:
            return f"{parameter.code} pr {random.choice(('true', 'false'))}"
        match parameter.type:
            case "string":
                operator = random.choice(("eq", "ne", "co", "sw", "ew"))
                modifier = "contains" if operator == "co" else random.choice(("exact", "contains"))
                text = unescape(wordings.string(random, modifier, pair))
                if len(text) > wordings.LONGEST:  # the server compares whole strings up to 200 characters
                    operator, text = "sw", text[: wordings.LONGEST]
                return f"{parameter.code} {operator} {_quoted(text)}"
            case "date" | "number" | "quantity":
                text = self._worded(resource_type, parameter, None, pair)
                bare = text[2:] if text[:2].isalpha() else text
                dated = parameter.type == "date" and parameter.code != "_lastUpdated"
                operators = (*PREFIXES, "po") if dated else PREFIXES
                return f"{parameter.code} {random.choice(operators)} {_quoted(bare) if '[' in bare else bare}"
            case _:
                wanted = self._modifier(resource_type, parameter) if parameter.type == "token" else None
                asked = {"in": "in", "not-in": "ni", "below": "ss", "above": "sb"}.get(wanted or "")
                text = self._worded(resource_type, parameter, wanted if asked else None, pair)
                others = ("eq", "eq", "ne", "re") if parameter.type == "reference" else ("eq", "eq", "ne")
                return f"{parameter.code} {asked or random.choice(others)} {_quoted(text)}"

    def _sort(self, resource_type: str) -> tuple[str, frozenset[str]]:
        keys, features = list[str](), set[str]()
        for _ in range(self.random.choice((1, 1, 2, 3))):
            parameter = self._any_parameter(resource_type)
            if parameter.type not in order.SORTABLE or parameter.code in UNSORTABLE:
                parameter = parameters_of(resource_type)["_id"]
            if parameter.type in ("token", "reference", "uri") and parameter.code != "phonetic":
                features.add(f"sort by {parameter.type}")
            if parameter.code not in [key.removeprefix("-") for key in keys]:
                keys.append(self.random.choice(("", "-")) + parameter.code)
        return ",".join(keys), frozenset(features)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
