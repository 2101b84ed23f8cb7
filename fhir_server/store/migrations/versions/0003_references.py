"""Following references backwards: what is referred to is found by its hash."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index, on every partition."""
    op.execute("CREATE INDEX resource_reference ON resource (tenant, reference_hash)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX resource_reference")
