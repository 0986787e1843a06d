"""The Dashboard page: what the posts of the history add up to."""

from img2prompt.errors import Img2PromptError
from img2prompt.web import account, dashboard, frame, history, history_page
from img2prompt.web.translate import t

frame.begin(t("dashboard.title"))
account.show()
frame.end(t("history.privacy"))

try:
    if mine := history.mine():
        dashboard.show(mine)
    else:
        history_page.explain_absence()
except Img2PromptError as error:
    frame.show_error(error)
