"""The exceptions whose message is written for the user."""

from nlp.errors import InputError

INPUT_ERRORS = (InputError,)
