"""Plain Python that composes `nlp` or `vision`; knows nothing of Prefect."""
