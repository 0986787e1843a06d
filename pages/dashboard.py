"""The Dashboard page: statistics about the posts in the history."""

from img2prompt.errors import Img2PromptError
from img2prompt.web.history import dashboard, page
from img2prompt.web.shared import account, frame, keeping
from img2prompt.web.shared.i18n import t

frame.begin(t("dashboard.title"))
account.show()
frame.end(t("history.privacy"))

try:
    if own_history := keeping.own_history():
        dashboard.show(own_history)
    else:
        page.explain_absence()
except Img2PromptError as error:
    frame.show_error(error)
