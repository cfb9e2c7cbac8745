"""The stages of a night, each one call: what the flow's tasks run.

A stage takes the night and what earlier stages gave, and returns a small value made of
paths, digests and numbers. Heavy packages are imported by the stage that needs them.
"""
