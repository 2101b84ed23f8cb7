"""Access tokens say whether their holder may expunge."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no token made before allows it. A constant default needs no rewriting of rows."""
    op.execute("ALTER TABLE access_token ADD COLUMN expunge boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE access_token DROP COLUMN expunge")
