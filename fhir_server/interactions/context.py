"""What every interaction is given: the database, who calls, and the instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from fhir_server.auth.caller import Caller
from fhir_server.operations.registry import Operations
from fhir_server.search.definitions import Definitions
from fhir_server.search.registry import SearchParameters
from fhir_server.search.tenant_parameters import TenantParameters
from fhir_server.search.terminology import TenantTerminologies
from fhir_server.store.code_systems import CodeSystems
from fhir_server.store.database import Database
from fhir_server.store.together import Reads
from fhir_server.validation.policy import WritePolicy
from fhir_server.validation.validators import Validators


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """The parts of a running server that interactions share. ``cursor_key`` signs paging cursors.

    ``enforce_references`` keeps references from leading nowhere. ``tenant_parameters`` knows the search parameters,
    ``definitions`` the profiles, value sets and the like; ``validators`` hold resources to these, as ``validation`` says.
    ``terminologies`` answer what is asked of codes; ``code_systems`` are those that were imported, if they are at hand.
    """

    database: Database
    cursor_key: bytes
    operations: Operations
    started: datetime
    auth: bool = True
    enforce_references: bool = False
    validation: WritePolicy = field(default_factory=WritePolicy)
    code_systems: CodeSystems | None = None
    tenant_parameters: TenantParameters = field(init=False)
    definitions: Definitions = field(init=False)
    terminologies: TenantTerminologies = field(init=False)
    validators: Validators = field(init=False)
    reads: Reads = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tenant_parameters", TenantParameters(self.database))
        object.__setattr__(self, "definitions", Definitions(self.tenant_parameters))
        terminologies = TenantTerminologies(self.tenant_parameters, self.code_systems)
        object.__setattr__(self, "terminologies", terminologies)
        object.__setattr__(self, "validators", Validators(self.definitions))
        object.__setattr__(self, "reads", Reads(self.database.session))


@dataclass(frozen=True, slots=True)
class Context:
    """One request's surroundings. ``base_url`` has no trailing slash; ``now`` is UTC with millisecond precision.

    ``contended`` says that an earlier attempt met a concurrent write.
    """

    server: Server
    caller: Caller
    base_url: str
    now: datetime
    contended: bool = False

    @property
    def database(self) -> Database:
        """The database."""
        return self.server.database

    @property
    def parameters(self) -> SearchParameters:
        """The search parameters of the caller's tenant, as they are now."""
        return self.server.tenant_parameters.of(self.caller.tenant)


def instant() -> datetime:
    """Return the current instant in UTC, cut to the milliseconds that FHIR instants carry here."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@lru_cache(maxsize=256)  # all that is written at once carries one instant
def format_instant(when: datetime) -> str:
    """Return a FHIR instant, https://hl7.org/fhir/R4/datatypes.html#instant."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"
