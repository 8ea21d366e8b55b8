"""The error that input can cause."""


class InputError(ValueError):
    """Bad input; the message says what, where and what to do, and quotes no report text."""
