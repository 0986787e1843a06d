"""What is kept of lemminflect's dictionaries."""

import subprocess
import sys
import textwrap

import lemminflect

from img2prompt.posts import data, grammar
from img2prompt.training import lexicon
from tests.helpers import ROOT


def test_it_says_what_lemminflect_says(tmp_path):
    lexicon.write(tmp_path / "lexicon.tsv")
    new, kept = ((file.read_text("utf-8")) for file in (tmp_path / "lexicon.tsv", data.LEXICON))
    assert new == kept, "run python -m img2prompt.training.lexicon"
    words = [line.partition("\t")[0] for line in kept.splitlines()]
    assert len(words) > 5_000
    for word in words:
        entry = data.known(word)
        assert entry.lemmas == lemminflect.getAllLemmas(word)
        for tag, forms in entry.forms.items():
            assert forms == lemminflect.getInflection(word, tag)[:1]
        assert entry.article == grammar._inflect().a(word).split()[0]


def test_other_words_are_looked_up_there():
    assert data.known("sextants") is None and data.known("yodel") is None
    assert grammar.lemmas("sextants") == {"NOUN": ("sextant",)}
    assert grammar.verb_form("yodel", "VBG") == lemminflect.getInflection("yodel", "VBG")[0]


def test_captions_need_no_dictionary():
    code = """
        import sys
        from img2prompt.posts import grammar
        from img2prompt.posts.gender import neutral_people
        from img2prompt.posts.people import mentions_people

        caption = "two men are standing next to a woman who holds a golden retriever and her umbrella"
        assert mentions_people(caption) and grammar.is_noun("umbrella") and grammar.is_finite_form("holds")
        print(neutral_people(caption), "lemminflect" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "False" and "people" in done.stdout
