"""Edit many captions of a batch: replace, words before and behind, undo; and count their words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
import streamlit as st

from img2prompt.batch.runs import Run
from img2prompt.captions.counts import most_frequent
from img2prompt.captions.duplicates import groups, marks
from img2prompt.captions.editor import Taken
from img2prompt.captions.edits import Pattern, prefix, replace, suffix, trigger
from img2prompt.captions.journal import DONE, UNDONE, Step
from img2prompt.captions.table import BLURRED, DARK, DUPLICATE, MARKS, Change, Entry, Look, tags, words
from img2prompt.errors import Img2PromptError
from img2prompt.web import components
from img2prompt.web.shared.frame import as_it_is, show_error
from img2prompt.web.shared.i18n import t

PREVIEWED = 5  # changes shown before they are made
COUNTED = 20  # words in the chart
ROW_PIXELS = 26  # of the chart
LONGEST = 60  # characters of what was looked for, in the name of a step
OPERATIONS: dict[str, Callable[[Sequence[Entry], str], list[Change]]] = {
    "trigger": trigger,
    "prefix": prefix,
    "suffix": suffix,
}
KINDS = (*OPERATIONS, "replace", "edit", "keep", "choose")
KEYS = {  # name of what a key does → how it is called
    "next": "J",
    "before": "K",
    "edit": "E",
    "enter": "Enter",
    "leave": "Esc",
    "undo": "Ctrl+Z",
    "redo": "Ctrl+Shift+Z",
    "help": "?",
}

_KEYS = components.register("keys")


def tools(run: Run, shown: Sequence[Entry]) -> None:
    """The buttons above the list.

    Parameters
    ----------
    shown : the entries that the filters leave, which are those that are edited
    """
    steps = run.steps()
    done = [step for step in steps if step.state == DONE]
    undone = [step for step in steps if step.state == UNDONE]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="captions-tools"):
        _way("undo", done[-1:], run)
        _way("redo", undone[:1], run)
        with st.popover(t("captions.replace"), icon=":material/find_replace:", key="captions-replace"):
            _replace(run, shown)
        with st.popover(t("captions.put"), icon=":material/playlist_add:", key="captions-put"):
            _put(run, shown)
        counting = st.toggle(t("captions.count"), key=f"captions-counting-{run.id}")
        with st.popover(t("captions.keys"), icon=":material/keyboard:", key="captions-keys"):
            for what, key in KEYS.items():
                st.markdown(f"`{key}` {t(f'captions.key.{what}')}")
        _KEYS(key="captions-keyboard", data={})
    if problem := st.session_state.pop(_problem(run), ""):
        show_error(problem)
    if counting:
        _chart(run, shown)


def compared(run: Run) -> dict[str, str] | None:
    """Offer to compare the pictures, and to see those that are nearly the same, blurred or dark.

    Returns
    -------
    Name → what to say of it (its group), of the pictures to show, in their order; None for any
    """
    if not st.toggle(
        t("captions.compare"), key=f"captions-comparing-{run.id}", help=t("captions.compare.help")
    ):
        return None
    total, compared = len(run.items), f"captions-compared-{run.id}"
    try:
        if st.session_state.get(compared) != total:
            with st.spinner(t("captions.comparing")):
                bar = st.progress(0.0)
                for done in run.compare():
                    bar.progress(done / total)
                bar.empty()
            st.session_state[compared] = total
        looks = run.looks()
        together, held = _alike(tuple((name, look.hash) for name, look in looks.items()), looks)
    except Img2PromptError as error:
        show_error(error)
        return None
    group_of = {name: number for number, group in enumerate(together, 1) for name in group}
    names = {
        DUPLICATE: list(group_of),
        BLURRED: [name for name in looks if BLURRED in held.get(name, ())],
        DARK: [name for name in looks if DARK in held.get(name, ())],
    }
    kind = st.pills(
        t("captions.compare"),
        MARKS,
        format_func=lambda mark: t(f"captions.looks.{mark}", count=len(names[mark])),
        key=f"captions-looks-{run.id}",
        label_visibility="collapsed",
    )
    if kind is None:
        return None
    return {
        name: t("captions.group", number=group_of[name]) if kind == DUPLICATE else "" for name in names[kind]
    }


@st.cache_data(show_spinner=False, max_entries=16)
def _alike(
    hashes: tuple[tuple[str, str], ...], _looks: dict[str, Look]
) -> tuple[list[list[str]], dict[str, frozenset[str]]]:
    """The groups of near-duplicates and the marks of pictures, which take a second for 10,000 of them."""
    return groups(_looks), marks(_looks)


def word(run: Run) -> str:
    """The word or tag that the captions must have, as it was pressed in the chart; empty for any."""
    return st.session_state.get(_word(run), "")


def pressed_word(run: Run) -> None:
    """Show which word the captions must have, and let the visitor take that back."""
    if chosen := word(run):
        label = t("captions.with", word=as_it_is(chosen))
        st.button(label, icon=":material/close:", on_click=_press, args=(run, ""), key="captions-word")


def complain(run: Run, error: Img2PromptError) -> None:
    """Show the error of a callback when the page is drawn."""
    st.session_state[_problem(run)] = str(error)


def _way(which: str, steps: Sequence[Step], run: Run) -> None:
    st.button(
        t(f"captions.{which}"),
        icon=f":material/{which}:",
        help=as_it_is(_said(steps[0])) if steps else None,
        disabled=not steps,
        on_click=_take,
        args=(run, which),
        key=f"captions-{which}",
    )


def _said(step: Step) -> str:
    """What a step did, in the visitor's language."""
    named = [text if len(text) <= LONGEST else f"{text[:LONGEST]}…" for text in step.words]
    title = t(f"captions.kind.{step.kind}")
    return f"{title}: {' → '.join(named)} ({t('captions.captions', count=step.count)})"


def _take(run: Run, which: str) -> None:
    try:
        taken: Taken = run.undo() if which == "undo" else run.redo()
    except Img2PromptError as error:
        complain(run, error)
        return
    text = t(f"captions.{which}.done", step=as_it_is(_said(taken.step)))
    st.toast(text + (f" {t('captions.left', count=len(taken.left))}" if taken.left else ""))


def _replace(run: Run, shown: Sequence[Entry]) -> None:
    find = st.text_input(t("captions.find"), key="captions-find", live=True)
    new = st.text_input(t("captions.new"), key="captions-new", live=True)
    whole_words = st.checkbox(t("captions.whole_words"), key="captions-whole")
    any_case = st.checkbox(t("captions.any_case"), True, key="captions-case")
    is_regex = st.checkbox(t("captions.regex"), key="captions-regex", help=t("captions.regex.help"))
    if not find:
        st.caption(t("captions.among", count=len(shown)))
        return
    try:
        changes, places = replace(shown, Pattern(find, is_regex, any_case, whole_words), new)
    except Img2PromptError as error:
        show_error(error)
        return
    st.caption(t("captions.places", count=places, captions=len(changes)))
    _offer(run, "replace", [find, new], changes)


def _put(run: Run, shown: Sequence[Entry]) -> None:
    kind = st.segmented_control(
        t("captions.put"),
        OPERATIONS,
        default="trigger",
        required=True,
        format_func=lambda name: t(f"captions.put.{name}"),
        key="captions-put-kind",
        label_visibility="collapsed",
    )
    text = st.text_input(
        t(f"captions.put.{kind}"), help=t(f"captions.put.{kind}.help"), key="captions-put-text", live=True
    )
    if not text.strip():
        st.caption(t("captions.among", count=len(shown)))
        return
    try:
        changes = OPERATIONS[kind](shown, text)
    except Img2PromptError as error:
        show_error(error)
        return
    _offer(run, kind, [text], changes)


def _offer(run: Run, kind: str, said: Sequence[str], changes: Sequence[Change]) -> None:
    """Show what would change, and a button that does it."""
    for change in changes[:PREVIEWED]:
        st.text(f"− {change.before.text}\n+ {change.after.text}")
    if len(changes) > PREVIEWED:
        st.caption(t("captions.more", count=len(changes) - PREVIEWED))
    label = t("captions.go", count=len(changes)) if changes else t("captions.nothing")
    if st.button(label, type="primary", disabled=not changes, key=f"captions-go-{kind}"):
        try:
            run.change(kind, said, changes)
        except Img2PromptError as error:
            show_error(error)
            return
        st.toast(t("captions.done", count=len(changes)))
        st.rerun()


def _chart(run: Run, shown: Sequence[Entry]) -> None:
    """The most frequent words or tags of the captions; a press on one leaves those that have it."""
    captions = [entry.caption for entry in shown if not entry.failed]
    kind = st.segmented_control(
        t("captions.count"),
        ("words", "tags"),
        default="words",
        required=True,
        format_func=lambda name: t(f"captions.count.{name}"),
        key="captions-count-kind",
        label_visibility="collapsed",
    )
    counts = most_frequent(map(words if kind == "words" else tags, captions), COUNTED)
    if not counts:
        return
    rows = [{"name": name, "captions": number} for name, number in counts]
    pressed = alt.selection_point("pressed", fields=["name"])
    chart = (
        alt.Chart(alt.Data(values=rows), height=alt.Step(ROW_PIXELS))
        .mark_bar(cursor="pointer")
        .encode(
            x=alt.X("captions:Q", title=None, axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=200, labelOverlap=False)),
            tooltip=[
                alt.Tooltip("name:N", title=t("captions.count")),
                alt.Tooltip("captions:Q", title=t("batch.results")),
            ],
        )
        .add_params(pressed)
    )
    st.caption(t("captions.count.help"))
    # A new key for each word that was pressed: the chart that follows has no bar pressed.
    key = f"captions-chart-{kind}-{word(run)}"
    chosen = st.altair_chart(chart, on_select="rerun", selection_mode="pressed", key=key)
    bars = chosen["selection"]["pressed"]
    if bars and bars[0]["name"] != word(run):
        _press(run, bars[0]["name"])
        st.rerun()


def _press(run: Run, chosen: str) -> None:
    st.session_state[_word(run)] = chosen


def _word(run: Run) -> str:
    return f"captions-word-{run.id}"


def _problem(run: Run) -> str:
    """Where the error of a callback waits until the page is drawn."""
    return f"captions-problem-{run.id}"
