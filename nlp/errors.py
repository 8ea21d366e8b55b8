"""The error that input can cause."""


class InputError(ValueError):
    """Bad input; the message says what is wrong, where, and what to do. It quotes no report text."""
