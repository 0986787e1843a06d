"""Evidence in, caption out."""

import math

import numpy as np
import pytest

from img2prompt.engines.lite import choice
from img2prompt.engines.lite.choice import Candidate, Weights, choose

WEIGHTS = Weights(fit=1.5, said=0.5, people=0.6, sure=1.0, short=0.2)


def caption(text: str, score=-0.5, fit=0.5, said=-1.0, people=-0.1, sure=0.0) -> Candidate:
    return Candidate(text, score, fit, said, people, sure)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (caption("a dog on a wide beach", score=-0.3), caption("a cat on a wide beach", score=-0.9)),
        (caption("a dog on a wide beach", fit=0.7), caption("a cat on a wide beach", fit=0.2)),
        (caption("a dog on a wide beach", said=-0.8), caption("a kite on a wide beach", said=-3.5)),
        (caption("a kitchen with a white stove"), caption("a man in a white kitchen", people=-4.0)),
        (caption("an espresso in a white cup", sure=0.9, score=-0.8), caption("a bowl of soup on a table")),
        (caption("a bedroom with a large bed"), caption("a bedroom")),
        # a name by itself is better than more words that nothing speaks for
        (
            caption("a bedroom", score=0.0, fit=0.8, said=-0.2),
            caption("a bedroom with a red fire hydrant", score=-1.6, fit=0.5, said=-3.0),
        ),
    ],
)
def test_what_more_speaks_for_is_chosen(better, worse):
    assert choose([worse, better], WEIGHTS) is better
    assert choose([better, worse], WEIGHTS) is better


def test_the_first_of_equals_is_chosen():
    first, second = caption("a dog on a wide beach"), caption("a cat on a wide beach")
    assert choose([first, second], WEIGHTS) is first


def test_a_name_is_enough_where_more_words_fit_less():
    name, padded = caption("a honeycomb", fit=0.6), caption("a honeycomb with a pizza on it", fit=0.5)
    better = caption("a honeycomb full of bees", fit=0.7)
    assert choice.without_padding([name, padded, better]) == [name, better]
    unlikely = caption("a honeycomb with a chocolate", fit=0.6, said=-3.0)
    assert choice.without_padding([unlikely, name]) == [name]


def test_there_must_be_a_candidate():
    with pytest.raises(ValueError):
        choose([], WEIGHTS)


def test_words_are_looked_for_in_their_base_form():
    assert choice.content_words("two dogs carried a stick on the beach") == {"dog", "carry", "stick", "beach"}
    probabilities, numbers = np.array([0.9, 0.1]), {"dog": 0, "beach": 1}
    assert choice.said("dogs", probabilities, numbers) == pytest.approx(math.log(0.9))
    both = (math.log(0.9) + math.log(0.1)) / 2
    assert choice.said("a dog on a beach", probabilities, numbers) == pytest.approx(both)
    assert choice.said("a zeppelin", probabilities, numbers) == pytest.approx(math.log(choice.RARE))
    assert choice.said("it is on", probabilities, numbers) == pytest.approx(math.log(choice.RARE))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a plate of food with a sandwich", "a plate of food"),
        ("a plate of food with a salad", "a plate of food with a salad"),
        ("a plate of food with a sandwich and a salad", "a plate of food with a sandwich and a salad"),
        ("a plate of food with a zeppelin", "a plate of food with a zeppelin"),  # not looked for
        ("a dog with a sandwich", "a dog with a sandwich"),  # "a dog" would be hardly a caption
        ("a small room filled with a sandwich", "a small room filled with a sandwich"),
        ("a city street lined with a sandwich", "a city street lined with a sandwich"),
        ("a plate of food", "a plate of food"),
    ],
)
def test_what_is_not_to_be_expected_is_left_out(text, kept):
    probabilities, numbers = np.array([0.01, 0.3]), {"sandwich": 0, "salad": 1}
    assert choice.without_unseen(text, probabilities, numbers) == kept


@pytest.mark.parametrize(
    ("more", "another"),
    [(" pie on a plate", True), (" skier in the air", True), (" on a table", False), ("", False)]
    + [(" sitting on a bench", False), (" and a dog", False), (" view of a city", True)]
    + [(" full of fruit", False), (" white and black", False)],
)
def test_a_name_that_goes_on_as_another_thing(more, another):
    assert choice.compounds(more) is another


def test_people_count_as_the_picture_shows_them():
    assert choice.people("a man in a kitchen", 0.1, 0.0) == pytest.approx(math.log(0.1))
    assert choice.people("a clean kitchen", 0.1, 0.0) == pytest.approx(math.log(0.9))
    assert choice.people("a man in a kitchen", 0.1, 1.0) > choice.people("a man in a kitchen", 0.1, 0.0)
    assert math.isfinite(choice.people("a man", 0.0, 0.0))


@pytest.mark.parametrize(
    ("vividness", "text", "kept"),
    [
        (0.2, "a black and white photo of people on a street", "people on a street"),
        (0.2, "a cat on a bed in a black and white photo", "a cat on a bed"),
        (0.2, "a black and white photo of a cat", "a plane in the sky"),  # "a cat" would be hardly a caption
        (0.2, "a black and white cat on a chair", "a black and white cat on a chair"),
        (0.05, "a black and white photo of a cat", "a black and white photo of a cat"),  # brown with age
        (0.0, "a black and white photo of a cat", "a black and white photo of a cat"),
        (0.0, "a blue and white plane", "a plane in the sky"),
        (0.05, "a blue and white plane", "a blue and white plane"),
    ],
)
def test_captions_say_the_colours_that_are_there(vividness, text, kept):
    first, *_ = choice.true_colours([(text, -0.5), ("a plane in the sky", -0.7)], vividness)
    assert first[0] == kept


def test_a_short_caption_is_better_than_none():
    assert choice.true_colours([("a black and white photo of a cat", -0.5)], 0.2) == [("a cat", -0.5)]


def test_a_caption_with_a_colour_is_better_than_none():
    assert choice.true_colours([("a red bus", -0.5)], 0.0) == [("a red bus", -0.5)]
