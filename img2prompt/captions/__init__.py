"""Edit the captions of a whole data set: many at once, with a way back for each step.

    Folder ──▶ entries ──▶ filter ──▶ operation ──▶ changes ──▶ Editor ──▶ journal and files

An operation is a function of entries and touches nothing; its changes can be shown before they are applied.
Only the `Editor` writes: what is to happen into the journal, then the captions, so that whatever stops it,
every text is still there.
"""

from __future__ import annotations

from img2prompt.captions.editor import Editor
from img2prompt.captions.filters import Filter
from img2prompt.captions.folder import Folder
from img2prompt.captions.journal import Journal
from img2prompt.captions.table import Change, Entry, Version

__all__ = ["Change", "Editor", "Entry", "Filter", "Folder", "Journal", "Version"]
