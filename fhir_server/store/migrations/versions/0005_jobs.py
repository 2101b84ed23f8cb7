"""Background jobs and search parameters of tenants."""

from __future__ import annotations

from alembic import op

from fhir_server.store.index_state import INDEX_FORMAT

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE job (
  tenant integer NOT NULL,
  id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  lane text COLLATE "C" NOT NULL,
  subject text NOT NULL,
  status text COLLATE "C" NOT NULL,
  repeatable boolean NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  worker text,
  lease_until timestamptz,
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  progress text NOT NULL,
  position bytea,
  input bytea,
  body bytea,
  result bytea,
  PRIMARY KEY (tenant, id),
  CONSTRAINT job_status CHECK (status IN ('waiting', 'running', 'finished', 'cancelled'))
);
CREATE INDEX job_unfinished ON job (tenant, id) WHERE status IN ('waiting', 'running');

CREATE TABLE search_parameter_generation (
  tenant integer NOT NULL,
  generation bigint NOT NULL,
  changed_at timestamptz NOT NULL,
  PRIMARY KEY (tenant)
);
CREATE TABLE indexed_parameter (
  tenant integer NOT NULL,
  type smallint NOT NULL,
  id text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  PRIMARY KEY (tenant, type, id)
);
CREATE TABLE index_format (
  tenant integer NOT NULL,
  type smallint NOT NULL,
  format integer NOT NULL,
  PRIMARY KEY (tenant, type)
);
"""

# Deferred, so that the tenant's line is locked only while its transaction commits. Reindexing leaves content alone.
TRIGGER = """
CREATE FUNCTION count_search_parameter_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO search_parameter_generation (tenant, generation, changed_at)
    VALUES (COALESCE(NEW.tenant, OLD.tenant), 1, clock_timestamp())
    ON CONFLICT (tenant) DO UPDATE
      SET generation = search_parameter_generation.generation + 1, changed_at = clock_timestamp();
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER search_parameter_changed
  AFTER INSERT OR DELETE OR UPDATE OF content ON resource_searchparameter
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION count_search_parameter_change();
INSERT INTO search_parameter_generation (tenant, generation, changed_at)
  SELECT DISTINCT tenant, 1, clock_timestamp() FROM resource_searchparameter;
"""

# What is there already was indexed before formats had numbers; an empty database is filled by this version's code.
FORMAT = f"""
INSERT INTO index_format (tenant, type, format)
  SELECT 0, 0, CASE WHEN EXISTS (SELECT FROM resource) THEN 1 ELSE {INDEX_FORMAT} END;
"""  # noqa: S608 - a constant


def upgrade() -> None:
    """Create the tables and the trigger, and note which format the index entries have."""
    op.execute(TABLES)
    op.execute(TRIGGER)
    op.execute(FORMAT)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TRIGGER search_parameter_changed ON resource_searchparameter")
    op.execute("DROP FUNCTION count_search_parameter_change()")
    op.execute("DROP TABLE job, search_parameter_generation, indexed_parameter, index_format")
