"""Write networks as graphs for `img2prompt.graphs`: ONNX without weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from img2prompt.files import replacing_path
from img2prompt.graphs import names_file

SMALL = 64  # numbers; only of so few is a result worked out and stored


def write_graph(
    file: Path,
    net: nn.Module,
    inputs: Mapping[str, torch.Tensor | Mapping[str, torch.Tensor]],
    outputs: Sequence[str],
    varying: Mapping[str, Sequence[int]],
) -> None:
    """Write the graph of a network, and beside it the names of the weights that it leaves out.

    A weight has the name that it has in `net`. What is neither a parameter nor a buffer stays in the graph.
    Weights that are equal become one: write the graph anew when they change.

    Parameters
    ----------
    net : in evaluation mode; its parameters and buffers are the weights
    inputs : examples of the arguments of its forward method, in order, none of them twice, each varying axis
        longer than 1; for an argument that is a list, its parts by name
    outputs : names of what it returns
    varying : input → its axes whose length varies
    """
    import onnx
    import onnxscript.optimizer

    def sizes(name: str) -> dict[int, Any] | None:
        return {axis: torch.export.Dim.DYNAMIC for axis in varying.get(name, ())} or None

    names: list[str] = []
    arguments: list[Any] = []
    shapes: list[Any] = []
    for name, value in inputs.items():
        is_list = not isinstance(value, torch.Tensor)
        parts: Mapping[str, torch.Tensor] = value if is_list else {name: value}  # type: ignore[assignment, dict-item]
        names += parts
        arguments.append(list(parts.values()) if is_list else value)
        shapes.append([sizes(part) for part in parts] if is_list else sizes(name))
    with torch.no_grad():
        program = torch.onnx.export(
            net,
            tuple(arguments),
            input_names=names,
            output_names=list(outputs),
            dynamic_shapes=tuple(shapes),
            dynamo=True,
            optimize=False,  # that would store transposed copies of weights
            verbose=False,
        )
    assert program is not None
    onnxscript.optimizer.optimize_ir(
        program.model,
        input_size_limit=SMALL,
        output_size_limit=SMALL,
        should_fold=lambda node: False if node.op_type == "Transpose" else None,  # of weights
    )
    model = program.model_proto
    weights = dict(net.named_parameters()) | dict(net.named_buffers())
    left_out = []
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = tensor.external_data.add()
            place.key, place.value = "location", "model.safetensors"
            left_out.append(tensor.name)
    for part in [model, model.graph, *model.graph.node, *model.graph.value_info]:
        part.ClearField("metadata_props")  # where in the source code each part comes from
        part.ClearField("doc_string")
    with replacing_path(file) as part:
        onnx.save_model(model, str(part))
    names_file(file).write_text(json.dumps(left_out, indent=0) + "\n", encoding="utf-8")
