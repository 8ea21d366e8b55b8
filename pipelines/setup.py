"""What a new machine needs once, beside the packages."""

from nlp.wordnet import install_wordnet as install_wordnet
