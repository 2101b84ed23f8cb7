"""Closure tables of terminology clients."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE closure (
  tenant integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (tenant, name)
);
CREATE TABLE closure_concept (
  tenant integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  system text COLLATE "C" NOT NULL,
  code text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (tenant, name, system, code),
  CONSTRAINT closure_concept_closure FOREIGN KEY (tenant, name)
    REFERENCES closure (tenant, name) ON DELETE CASCADE
);
CREATE TABLE closure_pair (
  tenant integer NOT NULL,
  name text COLLATE "C" NOT NULL,
  version bigint NOT NULL,
  system text COLLATE "C" NOT NULL,
  code text COLLATE "C" NOT NULL,
  above text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, name, version, system, code, above),
  CONSTRAINT closure_pair_closure FOREIGN KEY (tenant, name)
    REFERENCES closure (tenant, name) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(TABLES)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE closure_pair, closure_concept, closure")
