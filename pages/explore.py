"""The Explore page: prompts in, plots out; what is in a data set, and how another differs from it."""

from img2prompt.web import explore
from img2prompt.web.shared import frame
from img2prompt.web.shared.i18n import t

frame.begin(t("explore.title"))
groups, choice = explore.ask()
if groups:
    explore.show(groups, choice)
frame.end(t("privacy"))
