"""The Explore page: plots of what a data set contains, and how another one differs from it."""

from img2prompt.web import explore
from img2prompt.web.shared import frame, privacy
from img2prompt.web.shared.i18n import t

frame.begin(t("explore.title"))
groups, choice = explore.ask()
if groups:
    explore.show(groups, choice)
frame.end(privacy.of_photos())
