"""What search needs beside the range tables: the distinct texts and units that resources carry."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE text_dictionary (
  tenant integer NOT NULL,
  parameter integer NOT NULL,
  value text COLLATE "C" NOT NULL,
  token bigint NOT NULL,
  PRIMARY KEY (tenant, parameter, value, token)
);
CREATE TABLE unit_dictionary (
  tenant integer NOT NULL,
  dimension bigint NOT NULL,
  token bigint NOT NULL,
  multiplier numeric NOT NULL,
  addend numeric NOT NULL,
  divisor numeric NOT NULL,
  PRIMARY KEY (tenant, dimension, token)
);
"""


def upgrade() -> None:
    """Create the dictionaries. Resources that are there already get their entries when they are indexed anew."""
    op.execute(TABLES)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE text_dictionary, unit_dictionary")
