"""Prefect around the pipelines, one flow per module, and the `lesionary` command."""
