"""The question of every Python client, and the check of its answer."""

QUERY = "how do vaccines work"
DOCUMENTS = [
    "Bread is flour, water, salt and yeast.",
    "Vaccines train the immune system to recognise a pathogen.",
    "The stock market fell on Tuesday as bond yields rose.",
]
BEST = 1


def check(results):
    """`results`: (index, score, text) of each, best first."""
    assert len(results) == 2, results
    index, score, text = results[0]
    assert index == BEST, results
    assert text == DOCUMENTS[BEST], results
    assert 0.5 < score <= 1.0, results
    assert results[1][1] <= score, results
