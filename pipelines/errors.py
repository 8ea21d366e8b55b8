"""The exceptions whose message is written for the user."""

from nlp.errors import InputError as TextInputError
from vision.errors import InputError as ImageInputError

INPUT_ERRORS = (TextInputError, ImageInputError)
