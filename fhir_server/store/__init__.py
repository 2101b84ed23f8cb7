"""Tables, the unit of work, migrations and embedded PostgreSQL: the only SQL and the only commits."""
