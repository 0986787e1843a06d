"""The composer's parts: limits, grammar, guesses left out, hashtags, tones, shuffling, carousels."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from img2prompt.errors import ConfigError
from img2prompt.posts import (
    Choices,
    Draft,
    Seen,
    alt_text,
    as_sentence,
    compose,
    data,
    facts,
    hashtags,
    see,
    tones,
)
from img2prompt.posts.korean import with_particle, without_particle
from img2prompt.posts.limits import cut, size, tidy
from img2prompt.posts.neutral import plain_words
from img2prompt.posts.phrases import TONES, themes
from img2prompt.posts.platforms import platforms
from img2prompt.posts.post import ALT_LENGTH, LANGUAGES, LENGTHS, MAX_VARIANTS
from img2prompt.posts.topic import topic
from img2prompt.results import Match

DOG = Seen("a brown dog is running on the beach", {}, "landscape", ("blue", "white"))
INSTAGRAM = platforms()["instagram"]
HOOK_LIMIT, POST_LIMIT = INSTAGRAM.fold, INSTAGRAM.post
FAMILY = "👨‍👩‍👧‍👦"
TAGS = {name: theme.wording["en"].tags for name, theme in themes().items()}


def prose(variant):
    return variant.text.split("\n\n#")[0]


# --- what is seen --------------------------------------------------------------------------------


def test_the_parts_of_a_caption():
    about = topic([DOG])
    assert about.sentence == "a brown dog is running on the beach"
    assert about.scene == "a brown dog running on the beach"
    assert (about.subject, about.definite) == ("a brown dog", "the brown dog")
    assert (about.action, about.place) == ("running on the beach", "on the beach")
    assert [thing.said for thing in about.things] == ["dog", "beach"]
    assert (about.loved, about.kind, about.plural) == (("dogs", "beaches"), "animals", False)


@pytest.mark.parametrize(
    "caption, scene",
    [
        ("a dog runs and jumps in the snow", "a dog running and jumping in the snow"),
        ("two girls run along the beach", "two girls running along the beach"),
        ("a man wearing a hat sits on a bench", "a man wearing a hat sitting on a bench"),
        ("a crowd of people watch a game", "a crowd of people watching a game"),
        ("a dog has a stick in its mouth", "a dog with a stick in its mouth"),
        ("there is a cat on a orange couch", "a cat on an orange couch"),
        ("a house is covered in snow", "a house covered in snow"),
        ("a boy in pajamas eats a cookie", "a boy in pajamas eating a cookie"),
        ("a man windsurfs on a lake", "a man windsurfing on a lake"),
        ("a man in blue pants repels off a cliff", "a man in blue pants repelling off a cliff"),
        ("a boy on monkey bars", "a boy on monkey bars"),
        ("a woman in a bathing suit jumps into a pool", "a woman in a bathing suit jumping into a pool"),
        ("a man sits while a dog runs behind him", "a man sitting while a dog runs behind him"),
        ("a dog that is wet stands on a dock", "a dog that is wet standing on a dock"),
        ("a dog is wet", ""),  # "a dog wet" is no English: the sentence is used instead
        ("it is raining", ""),
    ],
)
def test_scenes_are_noun_phrases(caption, scene):
    assert topic([Seen(caption)]).scene == scene


@pytest.mark.parametrize(
    "caption, plain",
    [
        ("an elderly asian man in a black coat", "a man in a black coat"),
        ("a young black woman and an old dog", "a woman and an old dog"),
        ("an old and beautiful woman", "a woman"),
        ("a mostly bald man", "a man"),
        ("a black dog in front of an old building", "a black dog in front of an old building"),
        ("a plate of chinese food", "a plate of Chinese food"),
        ("an african american man with an american flag", "a man with an American flag"),
        ("an african american in sunglasses", "a person in sunglasses"),
        ("two muslims on a bench", "two people on a bench"),
        ("a black and white photo of a pregnant woman", "a woman"),
        ("a teenager on a skateboard", "a person on a skateboard"),
        ("arafed dog in the grass", "a dog in the grass"),
    ],
)
def test_guesses_on_people_are_left_out(caption, plain):
    assert topic([Seen(caption)]).sentence == plain


def test_a_hot_dog_is_no_dog():
    about = topic([Seen("a hot dog and a glass of beer on a table")])
    assert (about.kind, about.loved) == ("food", ("hot dogs", "beer"))
    assert about.things[0].said == "hot dog"
    assert hashtags(Seen("a hot dog"), Choices(hashtags=1)) == ("#hotdog",)


def test_names_and_letters_get_their_capitals():
    assert alt_text(Seen("a t-shirt with a tv and a suv")) == "A T-shirt with a TV and an SUV."
    assert alt_text(Seen("a christmas tree in new york")) == "A Christmas tree in New York."


def test_facts_come_from_the_picture(pipeline):
    picture = Image.new("RGB", (300, 200), (20, 60, 220))
    picture.paste((250, 250, 250), (0, 0, 300, 70))
    result = pipeline(picture)[0]
    seen = see(result, picture)
    assert (seen.caption, seen.labels) == (result.caption, result.labels)
    assert (seen.orientation, seen.colours) == ("landscape", ("blue", "white"))
    assert facts.orientation((200, 300)) == "portrait" and facts.orientation((200, 205)) == "square"


@pytest.mark.parametrize(
    "rgb, name",
    [
        ((230, 30, 30), "red"),
        ((250, 140, 20), "orange"),
        ((245, 220, 50), "yellow"),
        ((40, 150, 60), "green"),
        ((90, 170, 230), "blue"),
        ((130, 60, 190), "purple"),
        ((250, 150, 190), "pink"),
        ((110, 70, 40), "brown"),
        ((200, 170, 130), "brown"),
        ((5, 5, 5), "black"),
        ((128, 128, 128), "gray"),
        ((255, 255, 255), "white"),
    ],
)
def test_colours_have_plain_names(rgb, name):
    assert facts.colours(Image.new("RGB", (40, 30), rgb)) == (name,)
    assert facts.colours(Image.new("RGB", (1, 1), rgb)) == (name,)


def test_a_colour_must_fill_an_eighth():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(facts.colours(Image.fromarray(noise))) <= facts.MOST


# --- variants ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", tones())
@pytest.mark.parametrize("length", LENGTHS)
def test_twenty_variants_all_differ(tone, length):
    variants = compose(DOG, Choices(tone, length=length, variants=MAX_VARIANTS, emoji="many"))
    assert len({re.sub(r"\W+", " ", prose(v)) for v in variants}) == MAX_VARIANTS


@pytest.mark.parametrize("tone", tones())
@pytest.mark.parametrize("length", LENGTHS)
def test_shuffling_shows_others(tone, length):
    pages = [compose(DOG, Choices(tone, length=length, seed=seed)) for seed in range(4)]
    texts = [prose(v) for page in pages for v in page]
    assert len(set(texts)) == 20
    hooks = [{v.hook for v in page} for page in pages[:2]]
    assert not hooks[0] & hooks[1]


@pytest.mark.slow
def test_the_same_choices_give_the_same_posts_in_any_process():
    code = (
        "from img2prompt.posts import *\n"
        "seen = Seen('a brown dog is running on the beach', {}, 'landscape', ('blue', 'white'))\n"
        "print(ascii([v.text for v in compose(seen, Choices('poetic', 'save', 'many', 'long', seed=3))]))"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        )
        here = [v.text for v in compose(DOG, Choices("poetic", "save", "many", "long", seed=3))]
        assert done.stdout.strip() == ascii(here)


def test_structure():
    for length, most in (("line", 0), ("short", 1), ("long", 1)):
        for variant in compose(DOG, Choices("playful", "question", emoji="off", length=length, variants=20)):
            *blocks, tags = [block for block in variant.text.split("\n") if block]
            assert blocks[0] == variant.hook and blocks[-1].endswith(("?", "Go!"))
            assert tags == " ".join(variant.hashtags)
            assert len(blocks[1:-1]) <= most, blocks


def test_emoji():
    def count(variant):
        return len(regex.findall(r"\p{Extended_Pictographic}", variant.text))

    for goal in ("none", "question"):
        counts = {
            amount: [count(v) for v in compose(DOG, Choices("plain", goal, amount, variants=20))]
            for amount in ("off", "few", "many")
        }
        assert set(counts["off"]) == {0}
        assert set(counts["few"]) == {0, 1}  # a third of what people post has one
        assert set(counts["many"]) <= {3, 4}
    first, *_ = compose(DOG, Choices(emoji="few"))
    assert first.text.split("\n\n#")[0][-1] in "🐶🐕🐾"


def test_the_note_is_there_word_for_word():
    for length in LENGTHS:
        for language in LANGUAGES:
            choices = Choices("poetic", length=length, note="  Busan,\nwith Mina ", language=language)
            for variant in compose(DOG, choices):
                assert "Busan, with Mina" in prose(variant)
                assert {"#Busan", "#Mina"} < set(variant.hashtags)


def test_a_short_note_is_woven_in_and_leads_by_turns():
    leading, woven, below = (
        prose(v) for v in compose(DOG, Choices(note="Momo, three today", emoji="off", variants=3))
    )
    assert woven.startswith("Momo, three today") and "\n" not in woven and len(woven) > 20
    assert leading.split("\n")[0] == "Momo, three today"
    assert below.split("\n")[-1] == "Momo, three today"


def test_a_note_of_several_sentences_stands_by_itself():
    note = "We drove all night. Then the sun came up."
    assert all(note in prose(v).split("\n") for v in compose(DOG, Choices(note=note, emoji="off")))


def test_a_carousel_is_one_caption():
    dogs = [DOG, Seen("a white dog on a couch")]
    mixed = [DOG, Seen("two men playing soccer on a field"), Seen("a plate of food with rice")]
    for language in LANGUAGES:
        for tone in TONES:
            choices = Choices(tone, variants=20, emoji="off", language=language)
            for pictures, name in ((dogs, "dogs"), (mixed, "photo_series")):
                lines = themes()[name].wording[language].lines[tone]
                assert compose(pictures, choices)[0].hook in lines
    assert "#dogs" in {tag for v in compose(dogs, Choices()) for tag in v.hashtags}
    assert topic(mixed).plural
    many = topic([Seen(f"a {word}") for word in "dog cat bus boat tree".split()])
    assert many.scene == "a dog, a cat, a bus and more"
    assert compose([], Choices()) == []


def test_only_the_plain_tone_describes():
    posts = {tone: " ".join(prose(v) for v in compose(DOG, Choices(tone, variants=20))) for tone in TONES}
    described = {tone: "brown dog" in text.lower() for tone, text in posts.items()}
    assert described == dict.fromkeys(TONES, False) | {"plain": True}


def test_without_a_caption_there_is_still_a_post():
    for language in LANGUAGES:
        for tone in tones():
            variants = compose(Seen(""), Choices(tone, language=language))
            assert len(variants) == 5 and all(v.hook for v in variants)
    assert alt_text(Seen("")) == ""


def test_another_rewriter_is_held_to_the_limits():
    class Talkative:
        def write(self, seen, choices):
            return [Draft("word " * 100, ("more words. " * 400,), "And a call?")]

    (variant,) = compose(DOG, Choices(emoji="off"), Talkative())
    assert size(variant.hook) <= HOOK_LIMIT and variant.hook.endswith("word…")
    assert size(variant.text) <= POST_LIMIT and variant.text.startswith(variant.hook)


# --- limits --------------------------------------------------------------------------------------

ABSURD = [
    "dog " * 2500,
    "x" * 10_000,
    "🐶" * 5000,
    FAMILY * 1000,
    "e\u0301" * 4000,
    "z" + "\u0310" * 9000,
    "مرحبا " * 800,
    "부산" * 2000,
    "\ud83d\ude00 \ud83d lone",
    "{scene} {0} %s {{}}",
    "a\nb\r\n\tc\x00\x1b[31m\u202e",
    "   ",
]


@pytest.mark.parametrize("tone", tones())
@pytest.mark.parametrize("text", ABSURD)
def test_limits_hold_for_absurd_input(text, tone):
    for choices in (
        Choices(tone, "save", "many", "long", note=text, variants=2),
        Choices(tone, "tag", "many", "line", note=text, variants=2, language="ko"),
    ):
        for seen in (Seen(text), [Seen(text), DOG, Seen(text)], DOG):
            for variant in compose(seen, choices):
                assert variant.hook and size(variant.hook) <= HOOK_LIMIT
                assert size(variant.text) <= POST_LIMIT
                assert len(variant.hashtags) <= 5
                variant.text.encode("utf-8")
        assert size(alt_text(Seen(text), note=text)) <= ALT_LENGTH


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(caption=st.text(max_size=300), note=st.text(max_size=400), seed=st.integers(-3, 10**6))
def test_limits_hold_for_any_text(caption, note, seed):
    for variant in compose(Seen(caption), Choices(emoji="many", length="long", note=note, seed=seed)):
        assert size(variant.hook) <= HOOK_LIMIT and size(variant.text) <= POST_LIMIT
        assert variant.text.split("\n")[0] == variant.hook
        assert all(regex.fullmatch(r"#[\p{L}\p{M}\p{N}_]+", tag) for tag in variant.hashtags)


@given(text=st.text(max_size=60), limit=st.integers(1, 40))
def test_cuts_keep_whole_characters(text, limit):
    short = cut(text, limit)
    assert size(short) <= limit
    if size(text) > limit and short:
        kept = short.removesuffix("…")
        assert text.startswith(kept)
        assert len(regex.findall(r"\X", kept)) == 0 or kept in [
            "".join(regex.findall(r"\X", text)[:n]) for n in range(len(text) + 1)
        ]


def test_cuts():
    assert cut("a brown dog runs", 11) == cut("a brown dog runs", 9) == "a brown…"
    assert cut(f"hi {FAMILY}{FAMILY}", 16) == "hi…"
    assert cut("word, and", 7) == "word…"
    assert tidy("a\u2028b \ud83d\ude00\ud83d") == "a b 😀"


# --- hashtags and alt text -----------------------------------------------------------------------


def test_hashtags_are_those_of_the_themes_the_specific_first():
    assert hashtags(DOG, Choices(hashtags=3)) == (
        "#dogs",
        *(f"#{tag}" for tag in TAGS["dogs"][1:2]),
        f"#{TAGS['beach'][0]}",
    )
    assert hashtags(DOG, Choices(hashtags=0)) == ()
    assert len(hashtags(DOG, Choices())) == 5
    assert not {f"#{tag}" for tag in ("photooftheday", "instagood", "photography")} & set(
        hashtags(DOG, Choices(platform="pinterest", hashtags=20))
    )
    korean = hashtags(DOG, Choices(language="ko"))
    assert all(regex.fullmatch(r"#[가-힣]+", tag) for tag in korean) and len(korean) == 5


def test_a_picture_without_a_theme_has_the_things_of_its_caption_as_hashtags():
    seen = "a hamper beside a cogwheel"
    assert hashtags(Seen(seen), Choices()) == ("#hamper", "#cogwheel")
    assert hashtags(Seen(seen, {"things": [Match("cogwheel", 0.6)]}), Choices()) == ("#cogwheel",)


def test_no_more_hashtags_than_the_platform_takes():
    assert len(hashtags(DOG, Choices(platform="x"))) == 1
    assert len(hashtags(DOG, Choices(platform="pinterest", hashtags=20))) > 5
    with pytest.raises(ConfigError, match="Instagram takes at most 5"):
        Choices(hashtags=6)


@pytest.mark.parametrize(
    "note, expected",
    [
        ("Busan, with Mina", {"#Busan", "#Mina"}),
        ("부산, 미나", {"#부산", "#미나"}),
        ("제주에서 미나와", {"#제주", "#미나"}),
        ("#미나와 @mina NYC에서", {"#미나와", "#NYC"}),  # a tag is as it was typed
        ("New York City with my sister", {"#NewYorkCity", "#sister"}),
        ("São Paulo – café!", {"#SãoPaulo", "#café"}),
        ("Mina's birthday 🎉", {"#Mina", "#birthday"}),
        ("#busan @mina https://example.com", {"#busan"}),
        ("2024 & 100%", set()),
        ("DOGS", {"#DOGS"}),  # the theme's #dogs differs only by case
    ],
)
def test_hashtags_from_the_persons_own_words(note, expected):
    found = hashtags(DOG, Choices(note=note, platform="pinterest", hashtags=20))
    ours = {
        f"#{tag}" for theme in ("dogs", "pets", "animals", "beach", "sea", "nature") for tag in TAGS[theme]
    }
    assert set(found) - ours == expected and "#dogs" in {tag.lower() for tag in found}
    assert set(found[:2]) >= set(list(expected)[:1]) or not expected  # they come first
    assert len({tag.casefold() for tag in found}) == len(found)


@pytest.mark.parametrize(
    ("written", "noun"),
    [
        *(
            ("미나와", "미나"),
            ("지훈과", "지훈"),
            ("미나랑", "미나"),
            ("고양이랑", "고양이"),
            ("엄마하고", "엄마"),
        ),
        *(
            ("부산에서", "부산"),
            ("집에서", "집"),
            ("미나에게", "미나"),
            ("서울까지", "서울"),
            ("경주부터", "경주"),
        ),
        *(
            ("산으로", "산"),
            ("노을을", "노을"),
            ("성산일출봉을", "성산일출봉"),
            ("카페에", "카페"),
            ("오후에", "오후"),
        ),
        *(("미나를", "미나"), ("Mina에게", "Mina"), ("2024에서", "2024")),
        # Off a noun that is known, any.
        *(
            ("친구가", "친구"),
            ("바다는", "바다"),
            ("하늘이", "하늘"),
            ("우리의", "우리"),
            ("동생이랑", "동생"),
        ),
        *(("제주로", "제주"), ("생일은", "생일"), ("커피도", "커피"), ("주말만", "주말")),
    ],
)
def test_a_particle_is_no_part_of_a_korean_tag(written, noun):
    assert without_particle(written) == noun


@pytest.mark.parametrize(
    "word",
    """고양이 호랑이 떡볶이 하와이 휴가 작가 화가 전문가 요가 가을 마을 노을 한가을 사과 치과 결과 효과 한과 심리학과 산부인과 기와
    청기와 오키나와 가나자와 시나가와 돌아와 들어와 다녀와 놀러와 나와 사랑 첫사랑 짝사랑 신랑 아리랑 연노랑 누에 알로에 모네 경로 도로
    강남대로 피로 회의 주의 최정은 김지은 하은 이가은 김도 제주도 경기도 파도 포도 지도 좋은 맑은 괜찮은 빛나는 좋아하는 오메가 바닷가
    만화가 사진가 산책로 수영만 재미있을 떠오를 하고 에서 와 과 Mina와 café 東京 を""".split(),
)
def test_what_only_looks_like_a_particle_stays(word):
    assert without_particle(word) == word


def test_restricted_hashtags_are_left_out():
    found = hashtags(Seen("a desk with gloves in a snowstorm"), Choices(note="single alone"))
    assert not {tag[1:].lower() for tag in found} & data.words("blocked_hashtags")


def test_a_style_is_tagged_only_where_it_is_sure():
    painting = [Match("a watercolor painting", 0.45), Match("a painting", 0.4), Match("a gouache", 0.3)]
    photo = [Match("a watercolor painting", 0.45), Match("a photo", 0.4), Match("a gouache", 0.3)]
    faint = [Match("a watercolor painting", 0.2), Match("a painting", 0.1), Match("a gouache", 0.1)]
    tagged = [
        "#watercolor" in hashtags(Seen("a cat", {"mediums": mediums}), Choices())
        for mediums in (painting, photo, faint)
    ]
    assert tagged == [True, False, False]


def test_alt_text():
    assert alt_text(Seen("a photo of a brown dog on the beach")) == "A brown dog on the beach."
    seen = Seen("a man in a red shirt is standing on a rock " * 4)
    long = alt_text(seen)
    assert size(long) <= ALT_LENGTH and long.endswith("…") and not long.endswith(" …")
    assert len(alt_text(seen, length=1000)) > ALT_LENGTH
    assert as_sentence("what?") == "What?"


def test_an_alt_text_says_first_what_the_picture_is_for():
    assert (
        alt_text(DOG, note="Momo, three today") == "Momo, three today. A brown dog is running on the beach."
    )
    assert alt_text(DOG, note="Momo", length=40) == "A brown dog is running on the beach."  # no room


def test_a_korean_alt_text_names_the_themes():
    assert alt_text(DOG, language="ko") == "강아지와 해변이 담긴 사진." or "담긴 사진." in alt_text(
        DOG, language="ko"
    )
    assert alt_text(Seen("a gizmo"), language="ko") == "A gizmo."


@pytest.mark.parametrize(
    ("word", "pair", "written"),
    [
        ("바다", "이/가", "바다가"),
        ("산", "이/가", "산이"),
        ("고양이", "을/를", "고양이를"),
        ("노을", "은/는", "노을은"),
        ("강아지", "과/와", "강아지와"),
        ("말", "과/와", "말과"),
        ("서울", "으로/로", "서울로"),
        ("부산", "으로/로", "부산으로"),
        ("제주", "으로/로", "제주로"),
        ("Busan", "은/는", "Busan은"),
        ("Mina", "을/를", "Mina를"),
        ("cafe", "이/가", "cafe가"),
        ("KTX", "이/가", "KTX가"),
        ("bus", "이/가", "bus가"),
        ("cat", "을/를", "cat을"),
        ("2024", "은/는", "2024는"),
        ("7", "으로/로", "7로"),
        ("10", "이/가", "10이"),
        ("“바다”", "이/가", "“바다”가"),
    ],
)
def test_a_particle_agrees_with_what_it_follows(word, pair, written):
    assert with_particle(word, pair) == written


def test_plain_words_survive_punctuation():
    assert (
        plain_words("A man, a 'plan' -- and a T-shirt's tag.") == "a man a plan and a t-shirt's tag".split()
    )


def test_an_unknown_tone_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="tone is 'rude'; choose one of plain, minimal"):
        compose(DOG, Choices("rude"))


def test_a_subject_ends_before_its_clause():
    about = topic([Seen("a building that is sitting on the edge of a lake")] * 2)
    assert "that is" not in about.subject
