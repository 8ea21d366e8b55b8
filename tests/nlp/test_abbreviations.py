from nlp.abbreviations import find_abbreviations


def test_a_defined_short_form_is_found(pipeline):
    text = "A right paratracheal node (RPN) is stable. The RPN is 9 mm."
    assert find_abbreviations(text, pipeline) == {"RPN": "right paratracheal node"}


def test_brackets_that_define_nothing(pipeline):
    assert find_abbreviations("A node (series 4, image 32) and liver (normal).", pipeline) == {}
