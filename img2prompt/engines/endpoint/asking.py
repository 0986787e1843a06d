"""Ask a server about one picture, in the way that it understands."""

from __future__ import annotations

import threading

from PIL import Image

from img2prompt.engines.base import Question, Request
from img2prompt.engines.endpoint import answers
from img2prompt.engines.endpoint.client import Server, Unstructured
from img2prompt.results import Description


def describe(
    server: Server, image: Image.Image, request: Request | None = None, stop: threading.Event | None = None
) -> Description:
    """What the server says of a picture (RGB, upright).

    With an instruction it is asked for what that wants, in plain words; else for a record with a caption and
    more, or, where it takes no JSON schema, for a caption.

    Parameters
    ----------
    stop : once it is set, the server is not asked again

    Raises
    ------
    AnswerError
        When what it says cannot be used.
    EndpointError
        When it cannot be reached, or does not let us in.
    """
    request = request or Request()
    hear = request.hear
    if request.instruction:
        question = Question(f"{request.instruction}\n\n{answers.FOLLOW}", image)
        return answers.follow(server.answer(question, hear, stop), server.model)
    tell = (lambda text: hear(answers.heard(text))) if hear else None
    if server.structures:
        try:
            question = Question(answers.ASK, image, answers.SCHEMA)
            return answers.describe(server.answer(question, tell, stop, strict=True), server.model)
        except Unstructured:
            pass
    return answers.describe(server.answer(Question(answers.ASK_PLAIN, image), tell, stop), server.model)
