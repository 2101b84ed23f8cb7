"""Imported code systems as files in chunks."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE code_system_file (
  tenant integer NOT NULL,
  sha256 bytea NOT NULL,
  url text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  title text NOT NULL,
  concepts bigint NOT NULL,
  size bigint NOT NULL,
  whole boolean NOT NULL,
  current boolean NOT NULL,
  imported_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, sha256)
);
CREATE UNIQUE INDEX code_system_file_version ON code_system_file (tenant, url, version) WHERE whole;
CREATE TABLE code_system_chunk (
  tenant integer NOT NULL,
  sha256 bytea NOT NULL,
  number integer NOT NULL,
  content bytea NOT NULL,
  PRIMARY KEY (tenant, sha256, number),
  CONSTRAINT code_system_chunk_file FOREIGN KEY (tenant, sha256)
    REFERENCES code_system_file (tenant, sha256) ON DELETE CASCADE
);
CREATE TABLE code_system_generation (
  tenant integer NOT NULL,
  generation bigint NOT NULL,
  PRIMARY KEY (tenant)
);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(TABLES)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE code_system_generation, code_system_chunk, code_system_file")
