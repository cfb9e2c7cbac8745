"""What does Prefect see? Thin wiring over the sentiflow library."""
