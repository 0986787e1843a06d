"""The graphs of the lite engine: they answer as PyTorch does, and say what is wrong with them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from img2prompt import weights
from img2prompt.engines.lite.engine import LiteEngine
from img2prompt.engines.lite.networks import LOOK, SEEN, WRITE, Graphs
from img2prompt.errors import WeightsError
from img2prompt.graphs import Graph, names_file
from img2prompt.training.graphs import write_graph
from img2prompt.training.lite.deploy import Torch, load_net


@pytest.fixture(scope="module")
def engine(pipeline) -> LiteEngine:
    return pipeline.engine


@pytest.fixture(scope="module")
def in_torch(engine) -> Torch:
    net = load_net(weights.bundled("lite"))
    net.class_vectors = torch.from_numpy(engine.class_vectors)
    return Torch(net)


@pytest.fixture(scope="module")
def images(sample_photos) -> list[Image.Image]:
    photos = [Image.open(photo).convert("RGB") for photo in sample_photos]
    return [*photos, *(photo.rotate(90) for photo in photos), photos[0].crop((0, 0, 200, 200))]


def test_what_is_seen_is_what_pytorch_sees(engine, in_torch, images, monkeypatch):
    ours = engine.encode(images)
    monkeypatch.setattr(engine, "networks", in_torch)
    theirs = engine.encode(images)
    for name in SEEN:
        assert np.allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-3), name
    for one, other in zip(ours.pictures, theirs.pictures, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize("beams", [1, 4])
def test_what_is_written_is_what_pytorch_writes(engine, in_torch, images, beams, monkeypatch):
    ours = engine.describe(engine.encode(images), beams)
    monkeypatch.setattr(engine, "networks", in_torch)
    assert engine.describe(engine.encode(images), beams) == ours


@pytest.mark.parametrize("harm", ["missing", "cut", "empty", "without names", "of other weights"])
def test_a_graph_that_cannot_be_used(tmp_path, harm):
    """Errors name the file and say what to do."""
    folder = Path(shutil.copytree(weights.bundled("lite"), tmp_path / "lite"))
    file = folder / WRITE
    values: dict[str, np.ndarray] = {}
    if harm == "missing":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "without names":
        names_file(file).write_text("[")
    with pytest.raises(WeightsError, match=r"write\.onnx cannot be used \(.+\)\. Install img2prompt again\."):
        Graph(file, values)


def test_weights_of_another_shape_are_refused():
    folder = weights.bundled("lite")
    parameters = {name: value.detach().numpy() for name, value in load_net(folder).named_parameters()}
    parameters["captioner.words.weight"] = parameters["captioner.words.weight"][:-1]
    with pytest.raises(WeightsError, match=LOOK + "|" + WRITE):
        Graphs(folder, parameters, layers=3)


class Sum(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(400.0).view(20, 20))

    def forward(self, x: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
        return x @ self.weight + others[0] - others[1]


def test_a_graph_leaves_its_weights_out_and_takes_any(tmp_path):
    """The same file answers with whatever weights it is given, for any number of rows."""
    net, file = Sum().eval(), tmp_path / "sum.onnx"
    rows = torch.ones(3, 20)
    write_graph(
        file,
        net,
        {"x": rows, "others": {"plus": rows.clone(), "minus": rows.clone()}},
        ["y"],
        {"x": [0], "plus": [0], "minus": [0]},
    )
    assert file.stat().st_size < 400 * 4, "no weights in it"
    for factor in (1, 2):
        graph = Graph(file, {"weight": net.weight.detach().numpy() * factor, "unused": np.zeros(1)})
        x, plus, minus = (np.random.default_rng(i).random((7, 20), np.float32) for i in range(3))
        (y,) = graph.run(["y"], {"x": x, "plus": plus, "minus": minus})
        expected = x @ (np.arange(400.0).reshape(20, 20) * factor) + plus - minus
        assert np.allclose(y, expected, rtol=1e-4)
