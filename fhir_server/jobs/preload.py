"""Imported, for its effect, by the process that a load's workers are forked from: all of them need this, so it is built once."""

import fhir_server.jobs.load_database
from fhir_server.interactions.warm import warm_up

warm_up()

__all__ = ["fhir_server"]
