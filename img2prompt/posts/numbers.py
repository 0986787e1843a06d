"""The numbers that a text says, in digits or in English and Korean words."""

from __future__ import annotations

import re

NAMES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
ORDINALS = """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
LARGE = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6}
# Alone, "one" and "zero" count nothing, and "first" and "second" are words for other things too.
ENGLISH = {
    word: number
    for words, least in ((NAMES, 2), (ORDINALS, 3))
    for number, word in enumerate(words)
    if number >= least
}
ENGLISH |= {f"{word}{'es' if word == 'six' else 's'}": number for word, number in ENGLISH.items()}
ENGLISH |= {f"{word}{end}": number for word, number in LARGE.items() for end in ("", "s")}
ROUND = {
    form: 20 + 10 * place
    for place, word in enumerate(TENS)
    for form in (word, f"{word[:-1]}ies", f"{word[:-1]}ieth")
}
BELOW_TEN = {
    word: number for words in (NAMES[:10], ORDINALS[:10]) for number, word in enumerate(words) if number
}
_ENGLISH = re.compile(
    rf"(?<![\w-])(?:(?P<tens>{'|'.join(ROUND)})(?:[ -](?P<ones>{'|'.join(BELOW_TEN)}))?|(?P<word>{'|'.join(ENGLISH)}))(?!\w)"
)

ONES = {"한": 1, "하나": 1, "두": 2, "둘": 2, "세": 3, "셋": 3, "석": 3, "네": 4, "넷": 4, "넉": 4}
MANY = {"다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9}
ROUND_KO = {"열": 10, "스물": 20, "스무": 20, "서른": 30, "마흔": 40, "쉰": 50}
ROUND_KO |= {"예순": 60, "일흔": 70, "여든": 80, "아흔": 90}
NATIVE = {**ONES, **MANY, **ROUND_KO, "백": 100, "천": 1000, "만": 10_000}
DAYS = {"이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "열흘": 10, "보름": 15}
DIGITS = "영일이삼사오육칠팔구"
# After these a syllable is a number for sure; "세" also begins 세상, and "네 친구" is "your friend".
JOINED = "살|명|마리|사람|달|시간|개월|번째|식구"
COUNTED = (
    f"{JOINED}|분|주|해|시|번|개|돌|잔|그릇|조각|장|권|벌|켤레|송이|그루|곳|나라|곡|줄|배|쌍|(?<!네 )친구"
)
_NATIVE = re.compile(
    rf"(?<![가-힣])(?:(?P<tens>{'|'.join(ROUND_KO)})?(?P<many>{'|'.join(MANY)})"
    rf"|(?P<both>{'|'.join(ROUND_KO)})(?P<ones>{'|'.join(ONES)})"
    rf"|(?P<round>{'|'.join(word for word in ROUND_KO if word not in ('열', '쉰'))})"
    rf"|(?P<counted>두|세|석|네|넉|열|쉰)(?:(?={JOINED})| (?={COUNTED}))"
    rf"|(?P<large>백|천|만)(?=\s?(?:{COUNTED})(?:[^가-힣]|[이의은을째]|$))"
    r"|(?P<alone>둘|셋|넷)(?=이|은|만|의|도|째|[^\w\s]|$| (?!수|때|것|거|게|만)))"
)
_SINO = re.compile(
    rf"(?<![가-힣])(?:(?P<tens>[{DIGITS[2:]}]?)(?P<ten>십)(?P<ones>[{DIGITS[1:]}]?)"
    r"(?=\s?(?:년|주|세|일|월|개월|분|초|대|킬로|미터|층|도|퍼센트|프로|명|회|번))"
    rf"|(?P<few>[{DIGITS[3:]}])(?=\s?(?:년|주년|개월|월|층|박(?![가-힣])))|(?P<two>이)(?=주년|개월|박(?![가-힣])))"
)
_DAYS = re.compile(rf"(?<![가-힣])(?:{'|'.join(DAYS)})(?!달)")


def numbers(text: str) -> set[int]:
    """The numbers that a text says, however it writes them; "one" and "zero" in words are none.

    >>> sorted(numbers("Three friends, 12 balloons and twenty-one candles"))
    [3, 12, 21]
    >>> sorted(numbers("열두 살 생일에 강아지 두 마리와 이십 년 만에"))
    [2, 12, 20]
    """
    text = text.lower()
    said = {int(digits) for digits in re.findall(r"\d{1,18}", text)}
    for match in _ENGLISH.finditer(text):
        tens, ones, word = (match[name] or "" for name in ("tens", "ones", "word"))
        said.add(ENGLISH.get(word) or ROUND[tens] + BELOW_TEN.get(ones, 0))
    for match in _NATIVE.finditer(text):
        parts = match.group("tens", "both", "round", "many", "ones", "counted", "large", "alone")
        said.add(sum(NATIVE[part] for part in parts if part))
    for match in _SINO.finditer(text):
        tens = match["tens"] or (DIGITS[1] if match["ten"] else DIGITS[0])
        ones = match["ones"] or match["few"] or match["two"] or DIGITS[0]
        said.add(10 * DIGITS.index(tens) + DIGITS.index(ones))
    return said | {DAYS[match[0]] for match in _DAYS.finditer(text)}
