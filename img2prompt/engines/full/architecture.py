"""Which of timm's networks a folder of weights may ask for."""

from __future__ import annotations


def check_architecture(name: object) -> None:
    """Raise ValueError unless timm itself has a network of this name.

    Any other name (``hf-hub:…``, ``local-dir:…``) says where to get one. timm would go there, to a
    hub with the user's token, even for a network without its weights.
    """
    import timm

    if isinstance(name, str) and timm.is_model(name.split(".")[0]):
        return
    near = ", ".join(timm.list_models(f"{str(name).split('_')[0]}*")[:5])
    raise ValueError(f"timm has no model {name!r}; its names look like {near or 'resnet50'}")
