"""The commands `captions DIR …`, which edit the captions that lie beside pictures."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from typer.core import TyperGroup

from img2prompt.cli.console import complain, finish, printable, show_table, write
from img2prompt.cli.options import AsJson
from img2prompt.errors import ConfigError, DataError
from img2prompt.wording import counted

if TYPE_CHECKING:
    from img2prompt.captions import Change, Editor, Entry, Filter, Folder, Journal
    from img2prompt.captions.editor import Taken
    from img2prompt.captions.table import Look


class _OfASet(TyperGroup):
    """Commands whose name stands behind a folder: options of the folder may stand before it or behind it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = [place for place, word in enumerate(args) if place and word in self.commands]
        if names and not args[0].startswith("-"):
            args = [*args[1 : names[0]], args[0], *args[names[0] :]]
        return super().parse_args(ctx, args)


commands = typer.Typer(cls=_OfASet, no_args_is_help=True)

Picture = Annotated[
    str, typer.Argument(metavar="PICTURE", help="Its name in DIR, or several with * and ?; quote those.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")]
LeaveChanged = Annotated[
    bool,
    typer.Option(
        "--leave-changed", help="Leave captions as they are that another program has changed since."
    ),
]


@dataclass(frozen=True)
class Where:
    """Which set the command is about."""

    folder: Path
    recursive: bool
    suffix: str


@commands.callback()
def captions(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder of pictures and their captions, photo.txt for photo.jpg."
        ),
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Sub-folders of DIR too.")] = False,
    suffix: Annotated[str, typer.Option("--suffix", help="Of the captions' files.")] = ".txt",
) -> None:
    """Edit the captions of a folder as trainers use it: photo.txt for photo.jpg, whatever wrote them.

    Each change is a step that undo takes back, tomorrow as well: steps are kept in DIR, in a hidden file.
    A caption that another program has changed since is never overwritten.

    img2prompt captions photos/ replace "a man" "a person" --dry-run
    """
    context.obj = Where(folder, recursive, suffix)


@dataclass(frozen=True)
class Wanted:
    """The options that say which captions are meant."""

    with_text: Annotated[
        str,
        typer.Option("--with", metavar="TEXT", help="Only captions, or pictures' names, with this in them."),
    ] = ""
    matching: Annotated[
        str, typer.Option("--matching", metavar="REGEX", help="Only captions in which this is found.")
    ] = ""
    pictures: Annotated[
        list[str] | None,
        typer.Option("--picture", metavar="NAME", help="Only these, with * and ?; may be repeated."),
    ] = None
    tag: Annotated[str, typer.Option("--tag", help="Only captions with this between commas.")] = ""
    min_words: Annotated[int | None, typer.Option("--min-words", min=0, help="Only captions this long.")] = (
        None
    )
    max_words: Annotated[int | None, typer.Option("--max-words", min=0, help="Only captions this short.")] = (
        None
    )
    min_tokens: Annotated[
        int | None,
        typer.Option(
            "--min-tokens", min=0, help="The same in CLIP's tokens; from 78 on it reads no further."
        ),
    ] = None
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=0, help="At most so many.")] = None
    failed: Annotated[
        bool | None,
        typer.Option("--failed/--captioned", help="Only pictures without a caption, or only those with one."),
    ] = None
    edited: Annotated[
        bool | None, typer.Option("--edited/--unedited", help="Only captions that were changed here, or not.")
    ] = None
    duplicate: Annotated[
        bool, typer.Option("--duplicate", help="Only pictures that are nearly the same as another.")
    ] = False
    blurred: Annotated[bool, typer.Option("--blurred", help="Only pictures that look blurred.")] = False
    dark: Annotated[bool, typer.Option("--dark", help="Only pictures that are dark.")] = False

    @property
    def marks(self) -> frozenset[str]:
        """Those that pictures must have."""
        return frozenset(mark for mark in ("duplicate", "blurred", "dark") if getattr(self, mark))

    def filter(self) -> Filter:
        """The filter that they mean."""
        from img2prompt.captions.edits import Pattern
        from img2prompt.captions.filters import Filter

        return Filter(
            text=self.with_text,
            pattern=Pattern(self.matching, is_regex=True) if self.matching else None,
            pictures=tuple(self.pictures or ()),
            tag=self.tag,
            min_words=self.min_words,
            max_words=self.max_words,
            min_tokens=self.min_tokens,
            max_tokens=self.max_tokens,
            failed=self.failed,
            edited=self.edited,
            marks=self.marks,
        )


def narrowed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Wanted`, which it gets as `wanted`."""

    @functools.wraps(command)
    def with_options(*arguments: Any, **options: Any) -> None:
        wanted = Wanted(**{field.name: options.pop(field.name) for field in fields(Wanted)})
        command(*arguments, **options, wanted=wanted)

    own = [
        each
        for name, each in inspect.signature(command, eval_str=True).parameters.items()
        if name != "wanted"
    ]
    further = list(inspect.signature(Wanted, eval_str=True).parameters.values())
    named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in further]
    with_options.__signature__ = inspect.Signature([*own, *named])  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in [*own, *named]}
    del with_options.__wrapped__
    return with_options


@commands.command("list")
@narrowed
def list_(context: typer.Context, wanted: Wanted, as_json: AsJson = False) -> None:
    """Show pictures with their captions, and how many words and tokens those have; CLIP reads 77.

    A caption of which CLIP does not read the end is marked.
    """
    from img2prompt.captions.table import token_counts, words
    from img2prompt.prompts import CONTEXT

    with _reading(context.obj, wanted) as (_, _, entries):
        found = wanted.filter().of(entries)
        tokens = token_counts([entry.caption for entry in found])
        if as_json:
            records = [
                {
                    "picture": entry.name,
                    "caption": entry.text,
                    "words": len(words(entry.caption)),
                    "tokens": count,
                    "kept": entry.kept,
                    "edited": entry.edited,
                    "marks": sorted(entry.marks),
                    "error": entry.problem or None,
                }
                for entry, count in zip(found, tokens, strict=True)
            ]
            print(json.dumps({"pictures": len(entries), "captions": records}))
        else:
            for entry, count in zip(found, tokens, strict=True):
                too_long = f"{count} tokens, CLIP reads {CONTEXT}" if count > CONTEXT else f"{count} tokens"
                notes = [counted(len(words(entry.caption)), "word"), too_long]
                notes += ["edited"] if entry.edited else []
                notes += [counted(len(entry.kept), "other caption")] if entry.kept else []
                notes += sorted(entry.marks)
                shown = entry.problem or (entry.caption if not entry.failed else "– no caption")
                print(
                    printable(f"{entry.name}: {shown}" + ("" if entry.failed else f"  ({', '.join(notes)})"))
                )
    complain(f"{len(found)} of {counted(len(entries), 'picture')}.")
    finish(sum(bool(entry.problem) for entry in found), len(found))


@commands.command()
@narrowed
def stats(
    context: typer.Context,
    wanted: Wanted,
    top: Annotated[int, typer.Option(min=1, help="Words and tags to name.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Count captions, their words, tags and tokens, and say which occur most often."""
    from img2prompt.captions.counts import count

    with _reading(context.obj, wanted) as (folder, _, entries):
        found = wanted.filter().of(entries)
        counts = count(found, top)
        strays = folder.strays()
    if as_json:
        print(json.dumps({**asdict(counts), "strays": strays}))
        return
    write(f"{counted(counts.captions, 'caption')} of {counted(counts.pictures, 'picture')}", "bold")
    for number, what in (
        (counts.failed, "without a caption, or with one that cannot be read"),
        (counts.edited, "edited"),
        (counts.same, "the same to the letter as an earlier one"),
        (counts.too_long, "longer than the 77 tokens that CLIP reads"),
        (strays, "files of captions without a picture"),
    ):
        if number:
            write(f"{number} {what}")
    for what, length in (("words", counts.words), ("tokens", counts.tokens)):
        if length:
            write(f"{length.shortest} to {length.longest} {what}, half have {length.median:g} or fewer")
    for title, pairs in (("word", counts.top_words), ("tag", counts.top_tags)):
        if any(number > 1 for _, number in pairs):
            table = Table(title, "captions")
            for text, number in pairs:
                table.add_row(printable(text), str(number))
            show_table(table)


@commands.command()
def duplicates(
    context: typer.Context,
    distance: Annotated[
        int | None, typer.Option(help="Bits of 64 in which near-duplicates differ at most, 0 to 16.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find pictures that are nearly the same, and those that are blurred or dark.

    Copies that were scaled, compressed anew or brightened are found; cut, turned or mirrored ones are not.
    What was seen is kept, so that the next time only new pictures are opened.
    """
    from img2prompt.captions import duplicates as comparing

    comparing.check_libraries()
    where: Where = context.obj
    with _opened(where, writable=os.access(where.folder, os.W_OK)) as (folder, journal):
        _tell_what_is_passed_over(folder)
        looks = _look(folder, journal)
        distance = comparing.DISTANCE if distance is None else distance
        found = comparing.groups(looks, distance)
        marks = comparing.marks(looks, distance)
        unread = [name for name in folder.pictures if name not in looks]
    marked = {mark: [name for name in looks if mark in marks.get(name, ())] for mark in ("blurred", "dark")}
    if as_json:
        print(json.dumps({"pictures": len(folder.pictures), "groups": found, **marked, "failed": unread}))
    else:
        for group in found:
            write("  ".join(group))
        for mark, names in marked.items():
            for name in names:
                write(f"{name}: {mark}")
        for name in unread:
            complain(f"{name} cannot be opened.")
        alike = sum(map(len, found))
        complain(
            f"{counted(len(looks), 'picture')}: {alike} in {counted(len(found), 'group')} of near-duplicates, "
            f"{len(marked['blurred'])} blurred, {len(marked['dark'])} dark."
        )
    finish(len(unread), len(folder.pictures))


@commands.command("replace")
@narrowed
def replace_(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Words to look for, or an expression.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Words to put there; '' deletes.")],
    wanted: Wanted,
    is_regex: Annotated[
        bool, typer.Option("--regex", help=r"OLD is an expression; \1 in NEW is its first group.")
    ] = False,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="A is as good as a.")] = False,
    whole_words: Annotated[bool, typer.Option("--whole-words", "-w", help="Nothing inside a word.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find words and replace them, in all captions or in those that the options name."""
    from img2prompt.captions import edits

    pattern = edits.Pattern(old, is_regex, ignore_case, whole_words)
    places = 0

    def work(entries: Sequence[Entry]) -> list[Change]:
        nonlocal places
        changes, places = edits.replace(entries, pattern, new)
        return changes

    _change(context.obj, wanted, "replace", [old, new], work, dry_run, as_json, lambda: places)


@commands.command()
@narrowed
def prefix(
    context: typer.Context,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="With the space or comma that is to follow it.")
    ],
    wanted: Wanted,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put words before each caption that does not begin with them already.

    With --failed, they become the caption of pictures that have none.
    """
    _put(context.obj, wanted, "prefix", text, dry_run, as_json)


@commands.command()
@narrowed
def suffix(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="With the space or comma before it.")],
    wanted: Wanted,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put words behind each caption that does not end in them already.

    With --failed, they become the caption of pictures that have none.
    """
    _put(context.obj, wanted, "suffix", text, dry_run, as_json)


@commands.command()
@narrowed
def trigger(
    context: typer.Context,
    word: Annotated[str, typer.Argument(metavar="WORD", help="What the training is to learn, such as sks.")],
    wanted: Wanted,
    remove: Annotated[bool, typer.Option("--remove", help="Take it out instead.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a trigger word first in each caption, with a comma behind it; one that is there moves to the front.

    With --failed, it becomes the caption of pictures that have none.
    """
    from img2prompt.captions import edits

    empty = wanted.failed is True
    kind = "remove trigger" if remove else "trigger"
    _change(
        context.obj,
        wanted,
        kind,
        [word],
        lambda each: edits.trigger(each, word, remove, empty),
        dry_run,
        as_json,
    )


@commands.command()
@narrowed
def edit(
    context: typer.Context,
    picture: Picture,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The caption; - reads it from stdin.")],
    wanted: Wanted,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the present caption beside it, for choose.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write the caption of a picture, or one caption for several."""
    from img2prompt.captions import edits

    caption = sys.stdin.read() if text == "-" else text

    def work(entries: Sequence[Entry]) -> list[Change]:
        meant = _meant(entries, picture, context.obj)
        if len(meant) == 1 and meant[0].problem:
            raise DataError(meant[0].problem)
        return edits.write(meant, caption, keep)

    _change(context.obj, wanted, "edit", [picture], work, dry_run, as_json)


@commands.command()
@narrowed
def add(
    context: typer.Context,
    other: Annotated[
        Path,
        typer.Argument(
            metavar="OTHER", help="A folder with files of the same names: another tool's captions."
        ),
    ],
    wanted: Wanted,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Keep the captions of another folder beside these, for choose; they fill in where there are none."""
    from img2prompt.captions import edits

    where: Where = context.obj

    def work(entries: Sequence[Entry]) -> list[Change]:
        from img2prompt.captions import Folder

        others = Folder(where.folder, where.recursive, where.suffix).texts_of(other)
        return edits.add(entries, others)

    _change(where, wanted, "add", [str(other)], work, dry_run, as_json)


@commands.command()
def choose(
    context: typer.Context,
    picture: Picture,
    number: Annotated[
        int | None, typer.Argument(metavar="NUMBER", help="Of the caption to take; nothing shows them.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take another of the captions that are kept of a picture; the present one is kept in its place.

    A picture has several after edit --keep, and after add. With * several pictures take theirs of that number.
    """
    from img2prompt.captions import edits

    if number is None:
        with _reading(context.obj, Wanted()) as (_, _, entries):
            meant = _meant(entries, picture, context.obj)
        if as_json:
            records = [{"picture": each.name, "caption": each.text, "kept": each.kept} for each in meant]
            print(json.dumps(records))
            return
        for entry in meant:
            write(f"{entry.name}: {entry.caption}", "bold")
            for place, text in enumerate(entry.kept, 1):
                write(f"{place}. {text}")
        return

    def work(entries: Sequence[Entry]) -> list[Change]:
        meant = _meant(entries, picture, context.obj)
        if len(meant) > 1:  # those that have so many
            meant = [entry for entry in meant if len(entry.kept) >= number]
        return [change for entry in meant for change in edits.choose(entry, number)]

    _change(context.obj, Wanted(), "choose", [picture, str(number)], work, dry_run, as_json)


@commands.command()
def undo(context: typer.Context, leave_changed: LeaveChanged = False, as_json: AsJson = False) -> None:
    """Take the last step back; again, and it is the one before. Files are then as they were, to the byte."""
    with _editing(context.obj) as editor:
        _tell(editor.undo(leave_changed), "undone", as_json)


@commands.command()
def redo(context: typer.Context, leave_changed: LeaveChanged = False, as_json: AsJson = False) -> None:
    """Take the step again that was undone last."""
    with _editing(context.obj) as editor:
        _tell(editor.redo(leave_changed), "redone", as_json)


@commands.command()
def log(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the steps that were taken with the folder, and which of them are undone."""
    with _opened(context.obj, writable=False) as (_, journal):
        steps = journal.steps()
    if as_json:
        print(
            json.dumps(
                [
                    {
                        "made": each.made.isoformat(),
                        "step": each.title,
                        "state": each.state,
                        "captions": each.count,
                    }
                    for each in steps
                ]
            )
        )
        return
    for each in steps:
        state = "" if each.state == "done" else f", {each.state}"
        made = each.made.astimezone().strftime("%Y-%m-%d %H:%M")
        write(f"{made}  {each.title}  ({counted(each.count, 'caption')}{state})")


@contextmanager
def _opened(where: Where, writable: bool) -> Iterator[tuple[Folder, Journal]]:
    """The folder, and the journal of its steps."""
    from img2prompt.captions import Folder, Journal

    folder = Folder(where.folder, where.recursive, where.suffix)
    with closing(Journal(folder.journal_file, writable)) as journal:
        yield folder, journal


@contextmanager
def _reading(where: Where, wanted: Wanted) -> Iterator[tuple[Folder, Journal, list[Entry]]]:
    """The entries of the folder, with marks where they are asked for. Nothing is written but what was seen."""
    from img2prompt.captions.editor import read

    looking = bool(wanted.marks) and os.access(where.folder, os.W_OK)
    with _opened(where, writable=looking) as (folder, journal):
        _tell_what_is_passed_over(folder)
        yield folder, journal, _marked(read(folder, journal), folder, journal, wanted)


@contextmanager
def _editing(where: Where) -> Iterator[Editor]:
    """The folder, to be edited."""
    from img2prompt.captions import Editor

    with _opened(where, writable=True) as (folder, journal):
        editor = Editor(folder, journal)
        if editor.mended:
            complain(f"The last command was cut short: {counted(editor.mended, 'caption')} set back.")
        yield editor


def _put(where: Where, wanted: Wanted, kind: str, text: str, dry_run: bool, as_json: bool) -> None:
    """Put words before or behind captions, as `kind` says: ``prefix`` or ``suffix``."""
    from img2prompt.captions import edits

    operation = {"prefix": edits.prefix, "suffix": edits.suffix}[kind]
    empty = wanted.failed is True
    _change(where, wanted, kind, [text], lambda each: operation(each, text, empty), dry_run, as_json)


def _change(
    where: Where,
    wanted: Wanted,
    kind: str,
    words: Sequence[str],
    work: Callable[[Sequence[Entry]], list[Change]],
    dry_run: bool,
    as_json: bool,
    places: Callable[[], int] | None = None,
) -> None:
    """Change the captions that are wanted as one step, or show what would change.

    Parameters
    ----------
    kind, words : what is done and with what, for the log
    work : the entries that are wanted → their changes
    places : how many places of captions it changes, once it is done; None where that says nothing
    """
    from img2prompt.captions.editor import read

    matching = wanted.filter()  # what is wrong with it is said before anything is opened
    if dry_run:
        with _reading(where, wanted) as (_, _, entries):
            found = matching.of(entries)
            changes = work(found)
    else:
        with _editing(where) as editor:
            folder: Any = editor.store
            _tell_what_is_passed_over(folder)
            entries = _marked(read(folder, editor.journal), folder, editor.journal, wanted)
            found = matching.of(entries)
            changes = work(found)
            if changes:
                editor.apply(kind, words, changes)
    if as_json:
        report = {
            "pictures": len(entries),
            "considered": len(found),
            "changed": len(changes),
            **({"places": places()} if places else {}),
            "dry_run": dry_run,
            "changes": [
                {
                    "picture": change.name,
                    "before": change.before._asdict(),
                    "after": change.after._asdict(),
                }
                for change in changes
            ],
        }
        print(json.dumps(report))
    elif dry_run:
        for change in changes:
            _show(change)
    complain(_summary(len(changes), len(found), places() if places else None, dry_run))
    _finish(found)


def _summary(changed: int, considered: int, places: int | None, dry_run: bool) -> str:
    """One line on what was changed."""
    if not changed:
        return f"nothing to change in {counted(considered, 'picture')}."
    what = f"{counted(changed, 'caption')} of {counted(considered, 'picture')}"
    if places is not None:
        what = f"{counted(places, 'place')} in {what}"
    return f"{what} would change; nothing was written." if dry_run else f"{what} changed; undo takes it back."


def _show(change: Change) -> None:
    """Print what becomes of a caption."""
    write(change.name, "bold")
    if change.before.text != change.after.text:
        write(f"- {change.before.text or ''}", "red")
        write(f"+ {change.after.text or ''}", "green")
    for text in change.after.kept:
        if text not in change.before.kept:
            write(f"  kept: {text}")


def _tell(taken: Taken, what: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"step": taken.step.title, "captions": taken.written, "left": taken.left}))
        return
    left = f" Left as another program has changed them: {', '.join(taken.left)}." if taken.left else ""
    complain(f"{what}: {taken.step.title} ({counted(taken.written, 'caption')}).{left}")


def _meant(entries: Sequence[Entry], picture: str, where: Where) -> list[Entry]:
    """The entries that a name, or one with * and ?, stands for."""
    from img2prompt.captions.filters import is_named

    meant = [entry for entry in entries if is_named(entry.name, picture)]
    if not meant:
        raise ConfigError(
            f"{picture} names no picture in {where.folder}. img2prompt captions {where.folder} list"
        )
    return meant


def _marked(entries: list[Entry], folder: Folder, journal: Journal, wanted: Wanted) -> list[Entry]:
    """Entries with marks, where some are asked for."""
    if not wanted.marks:
        return entries
    from img2prompt.captions import duplicates as comparing

    marks = comparing.marks(_look(folder, journal))
    return [replace(entry, marks=marks.get(entry.name, frozenset())) for entry in entries]


def _look(folder: Folder, journal: Journal) -> Mapping[str, Look]:
    """What pictures look like: as it is kept, and of new ones after a look at them."""
    from img2prompt.captions import duplicates as comparing
    from img2prompt.images import Limits
    from img2prompt.settings import Settings

    comparing.check_libraries()
    pictures = comparing.pictures_on_disk(folder.pictures, Limits.from_settings(Settings.load()))
    console = Console(stderr=True, highlight=False)
    seen = track(
        comparing.look_at(pictures, journal.looks()),
        "Comparing",
        len(pictures),
        console=console,
        disable=not console.is_terminal,
    )
    looks, new = {}, {}
    for name, look, is_new in seen:
        if look is not None:
            looks[name] = look
            if is_new:
                new[name] = look
    if journal.writable:
        journal.add_looks(new)
    return looks


def _tell_what_is_passed_over(folder: Folder) -> None:
    if folder.passed_over:
        pictures = counted(folder.passed_over, "picture")
        complain(f"passed over in sub-folders: {pictures}. Add --recursive to take all.")
    if not folder.pictures:
        raise DataError(f"{folder.path} holds no pictures. Name another folder, or add --recursive.")


def _finish(entries: Sequence[Entry]) -> None:
    """Name captions that cannot be read; exit with 3 if there are some."""
    unread = [entry.problem for entry in entries if entry.problem]
    for problem in unread:
        complain(problem)
    finish(len(unread), len(entries))
