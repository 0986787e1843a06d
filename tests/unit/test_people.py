"""Which words of a caption mean people."""

import pytest

from img2prompt.posts.people import mentions_people, people, shows_traces

SOMEBODY = """
a fisherman on a pier
a crowd in front of a building
a man on a horse
a photo of a man on a horse
a black and white photo of two men
a baby in a stroller
a dog next to a baby
police on horses
a man rock climbing
a woman bikes down a road
a man 's hand holding a phone
the man's hat on a table
a family at a table
a family portrait
a soccer team on a field
a group of people
a couple sitting on a bench
a couple of women
a baseball pitcher
a pitcher throwing a ball
a cowboy on a horse
someone is cooking
a cook in a kitchen
a male in a suit
a model on a runway
a man and his dog
a dog with its owner
a child next to a statue of a man
a woman looking at a painting of a woman
""".strip().splitlines()
NOBODY = """
a snowman in a yard
a statue of a man on a horse
a painting of a woman hanging on a wall
a wall with a picture of a man
a teddy bear dressed as a man
a child's drawing of a house
a lego man
a gingerbread man
a mannequin in a dress
a woman mannequin in a window
a baby elephant next to a mother elephant
a zebra and her baby
a giraffe and its family
a family of ducks
a couple of zebras
a group of giraffes
a team of horses pulling a wagon
a male lion
a clown fish
a passenger train on the tracks
a police car parked on a street
a model train
a fire hydrant by the road
a cowboy hat on a table
a king size bed in a bedroom
a bathroom with a sign for men's restroom
a kid 's room with toys
a barber shop
a ceiling fan in a room
a record player on a table
a pitcher of water
the food cooks on a stove
a room with no people
nobody in the room
a hand holding a carton of milk
an empty kitchen with a stove
""".strip().splitlines()


@pytest.mark.parametrize("caption", SOMEBODY)
def test_somebody(caption):
    assert mentions_people(caption)


@pytest.mark.parametrize("caption", NOBODY)
def test_nobody(caption):
    assert people(caption) == []


def test_words_are_named_in_order():
    assert people("A man, two women and a Statue of a boy") == ["man", "women"]


def test_hands_may_be_somebodys():
    assert shows_traces("a hand holding a carton of milk")
    assert not shows_traces("a handle")
