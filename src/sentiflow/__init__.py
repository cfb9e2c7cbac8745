"""Nightly retraining of a text classifier, without knowledge of Prefect."""
