"""What the ImageNet classes say, and whether captions agree."""

import numpy as np
import pytest

from img2prompt.engines.lite import imagenet
from img2prompt.engines.lite.imagenet import Naming, with_article


@pytest.fixture(scope="module")
def naming(pipeline) -> Naming:
    return pipeline.engine.naming


def picture(naming: Naming, **classes: float) -> np.ndarray:
    """Probabilities (1000,) with these classes, underscores for spaces."""
    probabilities = np.full(1000, 1e-6)
    for name, value in classes.items():
        probabilities[naming.names.index(name.replace("_", " "))] = value
    return probabilities


def test_the_table_of_phrases_names_real_classes(naming):
    assert set(imagenet.read_phrases()) <= set(naming.names)
    pytest.importorskip("timm")
    from img2prompt.training.lite.classes import incidental

    assert naming.incidental == set(incidental())


def test_a_sure_breed_is_named(naming):
    thing = naming.find(picture(naming, golden_retriever=0.9))
    assert (thing.shown, thing.written) == ("a golden retriever", "a dog")


def test_relatives_count_together_but_only_the_animal_is_named(naming):
    thing = naming.find(picture(naming, tabby_cat=0.28, tiger_cat=0.28, Egyptian_cat=0.28))
    assert thing.shown == "a cat"
    assert thing.probability == pytest.approx(naming.trust(thing.index, 0.84), abs=1e-3)


def test_an_unsure_picture_names_nothing(naming):
    assert naming.find(picture(naming, espresso=0.3, pizza_pie=0.3)) is None


def test_a_class_is_trusted_as_far_as_it_was_right(naming):
    """Any stew is a hot pot to the classifier, and any cat a cat."""
    hot_pot, tabby = (naming.names.index(name) for name in ("hot pot", "tabby cat"))
    assert naming.trust(hot_pot, 0.9) < 0.4
    assert naming.trust(tabby, 0.9) > 0.6
    trust = imagenet.Trust(0.5, [0.0, -1.0])
    assert trust(0, 0.5) == pytest.approx(0.5)
    assert trust(1, 0.5) < trust(1, 0.9) < trust(0, 0.9) < 1
    assert trust(0, 0.0) > 0 and trust(0, 1.0) < 1
    assert naming.find(picture(naming, hot_pot=0.9), 0.4) is None


def test_two_classes_of_one_thing_count_together(naming):
    thing = naming.find(picture(naming, ear=0.6, corn=0.35), 0.2)
    assert thing.shown == "corn on the cob"
    assert naming.mentioned("corn in a bowl", thing)


def test_clothes_are_not_what_a_picture_shows(naming):
    assert naming.find(picture(naming, jersey=0.99)) is None


@pytest.mark.parametrize(
    ("caption", "agrees"),
    [
        ("a cup of coffee on a table", True),
        ("two dogs in the grass", False),
        ("a man riding a wave", False),
    ],
)
def test_a_caption_agrees_by_word_or_by_meaning(naming, caption, agrees):
    thing = naming.find(picture(naming, espresso=0.95))
    assert naming.mentioned(caption, thing) is agrees


def test_plurals_agree(naming):
    thing = naming.find(picture(naming, golden_retriever=0.95))
    assert naming.mentioned("two dogs running", thing)


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [("espresso", "an espresso"), ("dog", "a dog"), ("umbrella", "an umbrella"), ("unicycle", "a unicycle")],
)
def test_articles(noun, phrase):
    assert with_article(noun) == phrase


def test_blending_is_as_long_as_the_classes_are_sure(pipeline):
    torch = pytest.importorskip("torch")
    from img2prompt.training.lite.net.tower import blend_names

    vectors = torch.from_numpy(pipeline.engine.class_vectors)
    sure, vague = torch.full((1, 1000), 1e-9), torch.linspace(9e-4, 1.1e-3, 1000)[None]
    sure[0, 7] = 1.0
    assert float(blend_names(sure, vectors).norm()) == pytest.approx(1.0, abs=1e-3)
    assert float(blend_names(vague, vectors).norm()) < 0.05
