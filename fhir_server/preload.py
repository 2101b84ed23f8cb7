"""Imported, for its effect, by the process that workers are forked from: what all of them need is built once and shared."""

import gc

import fhir_server.worker
from fhir_server.interactions.warm import warm_up

warm_up()
# Objects that are never collected stay on memory pages that all workers share.
gc.collect()
gc.freeze()

__all__ = ["fhir_server"]
