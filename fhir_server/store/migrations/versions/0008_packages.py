"""Packages of definitions, and a count of changes to definitions."""

from __future__ import annotations

from alembic import op

from fhir_server.store.tables import partition_name

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTED_TYPES = (
    "CodeSystem",
    "ConceptMap",
    "OperationDefinition",
    "Questionnaire",
    "SearchParameter",
    "StructureDefinition",
    "StructureMap",
    "ValueSet",
)

TABLES = """
CREATE TABLE package (
  tenant integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  manifest bytea NOT NULL,
  missing text[] NOT NULL,
  subject text NOT NULL,
  installed_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, name, version)
);
CREATE TABLE package_resource (
  tenant integer NOT NULL,
  type smallint NOT NULL,
  url text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  package text COLLATE "C" NOT NULL,
  package_version text COLLATE "C" NOT NULL,
  profiled text COLLATE "C",
  revision integer,
  content bytea NOT NULL,
  PRIMARY KEY (tenant, type, url, version, package, package_version),
  CONSTRAINT package_resource_package FOREIGN KEY (tenant, package, package_version)
    REFERENCES package (tenant, name, version) ON DELETE CASCADE
);
CREATE INDEX package_resource_of ON package_resource (tenant, package, package_version);
CREATE TABLE definition_generation (
  tenant integer NOT NULL,
  generation bigint NOT NULL,
  PRIMARY KEY (tenant)
);
"""

# Deferred, so that the tenant's line is locked only while its transaction commits; the same for all that it changed.
FUNCTION = """
CREATE FUNCTION count_definition_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO definition_generation (tenant, generation) VALUES (COALESCE(NEW.tenant, OLD.tenant), 1)
    ON CONFLICT (tenant) DO UPDATE SET generation = definition_generation.generation + 1;
  RETURN NULL;
END $$;
"""


def upgrade() -> None:
    """Create the tables, and count what is stored already."""
    op.execute(TABLES)
    op.execute(FUNCTION)
    for resource_type in COUNTED_TYPES:
        op.execute(
            f"CREATE CONSTRAINT TRIGGER definition_changed AFTER INSERT OR DELETE OR UPDATE OF content "
            f"ON {partition_name(resource_type)} DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION count_definition_change()"
        )
        op.execute(
            "INSERT INTO definition_generation (tenant, generation) "  # noqa: S608 - names come from the definitions
            f"SELECT DISTINCT tenant, 1 FROM {partition_name(resource_type)} ON CONFLICT DO NOTHING"
        )


def downgrade() -> None:
    """Drop them."""
    for resource_type in COUNTED_TYPES:
        op.execute(f"DROP TRIGGER definition_changed ON {partition_name(resource_type)}")
    op.execute("DROP FUNCTION count_definition_change()")
    op.execute("DROP TABLE package_resource, package, definition_generation")
