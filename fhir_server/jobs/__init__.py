"""Background and bulk jobs."""
