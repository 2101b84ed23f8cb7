"""Every error the server answers with, https://hl7.org/fhir/R4/http.html#Status-Codes.

    FhirError                     status  issue code
    ├── InvalidRequest            400     invalid, structure, required, value …
    ├── Unauthenticated           401     login
    ├── Forbidden                 403     forbidden
    ├── NotFound                  404     not-found
    ├── NotSupported              405/406/415  not-supported
    ├── Conflict                  409     conflict
    ├── Gone                      410     deleted
    ├── PreconditionFailed        412     conflict, multiple-matches
    ├── TooLarge                  413     too-long
    ├── Unprocessable             422     processing, business-rule, code-invalid
    ├── Unavailable               503     transient
    └── TimedOut                  504     timeout

Each class owns its status; :mod:`fhir_server.interactions.failures` turns any of them into a response or a Bundle entry's outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

from conformance.issues import Issue


class FhirError(Exception):
    """An interaction fails with HTTP ``status`` and these issues; ``retry_after`` is in seconds."""

    status = 500
    code = "exception"
    retry_after: int | None = None

    def __init__(self, diagnostics: str = "", *, code: str | None = None, expression: str | None = None) -> None:
        super().__init__(diagnostics)
        self.issues: list[Issue] = [Issue("error", code or self.code, diagnostics, expression)]

    @classmethod
    def of(cls, issues: Sequence[Issue]) -> FhirError:
        """Return an error of this class that carries several issues."""
        error = cls("; ".join(i.diagnostics for i in issues))
        error.issues = list(issues)
        return error


class InvalidRequest(FhirError):
    """The request can't be understood."""

    status = 400
    code = "invalid"


class Unauthenticated(FhirError):
    """The request carries no usable credential."""

    status = 401
    code = "login"


class Forbidden(FhirError):
    """The caller holds no grant for this."""

    status = 403
    code = "forbidden"


class NotFound(FhirError):
    """No such resource, type or route."""

    status = 404
    code = "not-found"


class NotSupported(FhirError):
    """The server does not offer this; ``status`` is 405, 406, 415 or 501 by what is not offered."""

    status = 405
    code = "not-supported"

    def __init__(self, diagnostics: str = "", *, status: int = 405) -> None:
        super().__init__(diagnostics)
        self.status = status


class Conflict(FhirError):
    """Another request changed the same resource at the same time."""

    status = 409
    code = "conflict"
    retry_after = 1


class StillReferenced(FhirError):
    """The resource can't be deleted while others refer to it; unlike a Conflict, trying again is no use."""

    status = 409
    code = "business-rule"


class Gone(FhirError):
    """The resource was deleted."""

    status = 410
    code = "deleted"


class PreconditionFailed(FhirError):
    """``If-Match`` names another version, or a condition matches several resources."""

    status = 412
    code = "conflict"


class TooLarge(FhirError):
    """The body exceeds the limit."""

    status = 413
    code = "too-long"


class Unprocessable(FhirError):
    """The content is well-formed but breaks a rule."""

    status = 422
    code = "processing"


class Unavailable(FhirError):
    """The server can't serve now; trying again may help."""

    status = 503
    code = "transient"
    retry_after = 2


class TimedOut(FhirError):
    """The request took longer than the server allows."""

    status = 504
    code = "timeout"
