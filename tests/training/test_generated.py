"""The heads for pictures that machines made, fitted on small made-up features."""

import numpy as np
import pytest
import torch
from PIL import Image

from img2prompt.datasets.pairs import PairsFolder
from img2prompt.embeddings import WIDTH, unit
from img2prompt.training.lite import generated
from img2prompt.training.lite.generated import Row, Seen
from img2prompt.training.lite.net.generated import Generated
from img2prompt.training.lite.net.tower import STYLE_WIDTH

SOURCES = ("a", "b", "c")
EACH = 60  # pictures of a source, and photos of a place


@pytest.fixture(scope="module")
def world():
    """Prompts that follow from how a picture looks, photos that look otherwise, and a nuisance.

    The first ten features tell the prompt; the last hundred are lower in photos than in generated
    pictures; and so is feature 11, how sharp a picture is, which says nothing elsewhere.
    """
    random = np.random.default_rng(0)
    count = EACH * (len(SOURCES) + 2)
    made = np.arange(count) < EACH * len(SOURCES)
    looks = random.normal(size=(count, STYLE_WIDTH)).astype(np.float32)
    looks[:, -100:] += np.where(made, 1, -1)[:, None]
    looks[:, 11] = np.where(made, 1, -1) + 0.05 * random.normal(size=count)
    meanings = random.normal(size=(10, WIDTH))
    looks[:, :10] *= 6  # so that few rows tell them from noise
    vectors = unit((looks[made, :10] / 6) @ meanings)
    rows = [
        Row(f"{source}{i}", f"prompt {i} of {source}", source, is_prompt=i > 3)
        for source in SOURCES
        for i in range(EACH)
    ]
    places = ["street"] * EACH + ["garden"] * EACH
    captioned = np.zeros((count, WIDTH), np.float32)
    captioned[made] = unit(vectors + 0.06 * random.normal(size=vectors.shape))
    changes = np.zeros((40, STYLE_WIDTH), np.float32)
    changes[:, 11] = random.normal(size=40)
    return rows, places, Seen(looks, captioned), vectors, changes


def test_what_is_fitted_tells_prompts_and_photos(world, monkeypatch):
    monkeypatch.setattr(generated, "NUISANCES", 1)
    rows, places, seen, vectors, changes = world
    net, told = generated.fit(rows, places, seen, vectors, changes)
    with torch.inference_mode():
        found, probability = net(torch.from_numpy(seen.looks), torch.from_numpy(seen.captioned))
    made = np.arange(len(seen.looks)) < len(rows)
    assert (found.numpy()[made] * vectors).sum(1).mean() > 0.8
    assert (probability.numpy()[~made] > 0.5).mean() <= 0.08
    assert (probability.numpy()[made] > 0.5).mean() > 0.5
    assert set(told["cosines"]) == set(SOURCES) and min(told["cosines"].values()) > 0.5
    assert set(told["gate"]) == {*SOURCES, "street", "garden"}
    assert abs(net.gate.weight[0, 11]) < 0.01 * net.gate.weight[0, -100:].mean(), "sharpness does not count"


def test_the_heads_say_the_same_after_a_round_trip_in_half_precision(world):
    rows, places, seen, vectors, changes = world
    net, _ = generated.fit(rows, places, seen, vectors, changes)
    again = Generated()
    again.load_state_dict({name: value.half().float() for name, value in net.state_dict().items()})
    with torch.inference_mode():
        looks, captioned = torch.from_numpy(seen.looks), torch.from_numpy(seen.captioned)
        (found, probability), (other, changed) = net(looks, captioned), again(looks, captioned)
    assert (found * other).sum(1).min() > 0.999
    assert (probability - changed).abs().max() < 0.01


def test_rows_are_thinned_by_prompt_and_source():
    rows = [Row(str(i), "the same", "a", True) for i in range(9)]
    rows += [Row(str(i), str(i), "b", True) for i in range(generated.MOST_ROWS + 9)]
    rows += [Row("style", "an artist", "c", False)]
    chosen = [rows[i] for i in generated.thin(rows)]
    assert [row.source for row in chosen] == ["a"] * generated.SAME_PROMPT + ["b"] * generated.MOST_ROWS


def test_coarser_views_are_of_the_same_picture(sample_photos):
    photo = Image.open(sample_photos[0]).convert("RGB")
    views = generated.coarser(photo)
    assert [min(view.size) for view in views] == [192, 150, 192]
    small = [np.asarray(view.resize((16, 16)), float) for view in (photo, *views)]
    assert max(np.abs(view - small[0]).mean() for view in small[1:]) < 8
    tiny = Image.new("RGB", (30, 20))
    assert [view.size for view in generated.coarser(tiny)] == [(30, 20)] * 3


def test_the_rows_and_pictures_at_hand(shared_data):
    folder = PairsFolder(shared_data / "ai_pairs")
    rows = generated.read_rows(folder)
    assert len({row.source for row in rows}) > 8 and not all(row.is_prompt for row in rows)
    first = [row.image for row in rows[:3]]
    assert all(picture.mode == "RGB" for picture in generated.read_pictures(folder, first))
