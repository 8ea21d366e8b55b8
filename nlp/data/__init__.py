"""The label table."""
