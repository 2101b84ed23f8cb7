"""What a server demands beyond the specification, or leaves out: https://hl7.org/fhir/R4/validation.html."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.issues import Issue


@dataclass(frozen=True, slots=True)
class Policy:
    """A server's own choices. The default is the specification, nothing more and nothing less.

    ``profiles`` are canonical URLs by resource type that every resource of the type has to meet, wherever it is (as
    ``ImplementationGuide.global`` says). ``markup`` tells whether texts outside of the narrative may hold HTML tags;
    ``example_urls`` whether URLs may lead to the reserved domains for examples; ``reference_types`` whether references
    to types that an element doesn't allow are reported; ``comments`` whether JSON may have comments (``//``, ``/* */``).
    ``overlook`` are the keys of constraints, and the names of primitive types, whose violations are not reported: what a
    site's older data is known to break.
    """

    profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    markup: bool = True
    example_urls: bool = True
    reference_types: bool = True
    comments: bool = False
    overlook: frozenset[str] = frozenset()

    def overlooks(self, issue: Issue) -> bool:
        """Tell whether an issue is one of those to overlook, by the key that ends its message or the type that it names."""
        text = issue.diagnostics
        return any(text.endswith(f"({name})") or text.startswith(f"Not a valid {name}:") for name in self.overlook)


SPECIFICATION = Policy()
