"""The Prefect flows: thin wiring over the sentiflow library."""
