"""What the user can put right."""


class InputError(ValueError):
    """Bad input, with a message written for the user: what, where, what to do."""
