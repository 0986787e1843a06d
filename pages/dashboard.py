"""The Dashboard page: what the posts of the history add up to."""

from img2prompt.errors import Img2PromptError
from img2prompt.web.history import dashboard, page
from img2prompt.web.shared import account, frame, keeping
from img2prompt.web.shared.i18n import t

frame.begin(t("dashboard.title"))
account.show()
frame.end(t("history.privacy"))

try:
    if mine := keeping.mine():
        dashboard.show(mine)
    else:
        page.explain_absence()
except Img2PromptError as error:
    frame.show_error(error)
