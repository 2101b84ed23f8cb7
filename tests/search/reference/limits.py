"""The limits of searches, as the code has them."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.terminology.listing import MOST_CODES
from fhir_server.interactions.request import MAX_PARAMETERS
from fhir_server.rest.endpoint import MAX_PATH
from fhir_server.search import controls, full_text, string, uri
from fhir_server.search.bind_chain import MOST_STEPS, MOST_SUBSELECTS
from fhir_server.search.filter import parse
from fhir_server.search.include import MOST_INCLUDED, MOST_ROUNDS
from fhir_server.search.near import DEFAULT_DISTANCE, DEFAULT_UNIT
from fhir_server.search.sorting import MOST_KEYS
from fhir_server.search.totals import LEAST_ESTIMATED
from fhir_server.store.full_text import LONGEST_WORD, MOST_CHARACTERS

REFUSED, STRICT = "400", "left out with a warning, 400 if strict"


def limits() -> Iterator[tuple[str, str, str]]:
    """Yield (what, limit, what happens beyond it)."""
    yield "parameters of a query; length of the path", f"{MAX_PARAMETERS}; {MAX_PATH:,} bytes", REFUSED
    yield "`_count`", f"{controls.MOST_COUNT:,}; {controls.DEFAULT_COUNT} unless given", "the limit counts"
    yield "keys of `_sort`", str(MOST_KEYS), STRICT
    yield "steps of a chain, `_has` among them", str(MOST_STEPS), STRICT
    yield "ways that chains can go, through references to several types", str(MOST_SUBSELECTS), STRICT
    yield "levels, comparisons of a `_filter`", f"{parse.MOST_LEVELS}, {parse.MOST_TESTS}", REFUSED
    yield "rounds of `:iterate`", str(MOST_ROUNDS), "a warning in the Bundle"
    yield "included resources on a page", f"{MOST_INCLUDED:,}", "a warning in the Bundle"
    yield "characters of a string that are compared", f"the first {string.LONGEST}", "`:exact` compares all"
    yield "characters of `:contains`", str(string.LONGEST_CONTAINED), REFUSED
    yield "characters of a URL with `:above`, `:below`", str(uri.LONGEST - 1), REFUSED
    yield "codes of `:in`, `:not-in`, `:above`, `:below`", f"{MOST_CODES:,}", REFUSED
    yield "words, levels of `_text` and `_content`", f"{full_text.MOST_WORDS}, {full_text.MOST_LEVELS}", REFUSED
    yield "characters of a word there; of a resource's text", f"{LONGEST_WORD}; {MOST_CHARACTERS:,}", "not found"
    yield "distance of `near` that isn't given", f"{DEFAULT_DISTANCE} {DEFAULT_UNIT}", ""
    yield "`_total=estimate` counts exactly up to", f"{LEAST_ESTIMATED:,}", "the planner's estimate"
