from nlp.candidates import nearest_terms


def test_a_misspelt_term_is_nearest_to_the_right_one(ontology):
    ((best, *_), none) = nearest_terms(["spiculatd", "qqqq"], ontology)
    assert best[0] == "spiculated"
    assert none == []


def test_no_phrases_no_terms(ontology):
    assert nearest_terms([], ontology) == []
