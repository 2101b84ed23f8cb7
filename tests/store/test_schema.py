"""The migrations make exactly the schema that the tables describe, and refuse what they do not know."""

from __future__ import annotations

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import fhir_server.store.closures
import fhir_server.store.code_system_files
import fhir_server.store.contained
import fhir_server.store.full_text
import fhir_server.store.inbox
import fhir_server.store.index_state
import fhir_server.store.jobs
import fhir_server.store.ledger
import fhir_server.store.packages
import fhir_server.store.secrets
import fhir_server.store.tokens  # noqa: F401 - each adds its table
from fhir_server.store.migrate import HEAD, SchemaMismatch, migrate
from fhir_server.store.tables import metadata, partition_name, type_ids


def test_the_migrated_schema_is_the_one_the_code_uses(dsn: str) -> None:
    """Nothing to add, drop or alter, partitions and Alembic's own table aside."""
    partitions = {partition_name(t) for t in type_ids()}
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=NullPool)

    def ours(obj: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:  # noqa: ARG001
        return not (kind == "table" and name in partitions)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        tables = {
            r[0] for r in connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        }
    assert partitions <= tables
    engine.dispose()


def test_the_head_is_the_newest_migration() -> None:
    """The constant that start-up compares with is what Alembic finds."""
    assert ScriptDirectory("fhir_server/store/migrations").get_current_head() == HEAD


def test_a_database_of_a_newer_praxis_is_refused(dsn: str) -> None:
    """In one line that says what to do."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        try:
            with pytest.raises(SchemaMismatch, match="start the newer Praxis"):
                migrate(dsn)
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", (HEAD,))
