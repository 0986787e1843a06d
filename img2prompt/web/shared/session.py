"""The names under which pages keep things in a visitor's session, all in one place.

Keys of single widgets stay with their widgets.
"""

NAVIGATION = "navigation"  # that the pages are known to Streamlit
LANGUAGE = "language"
MODEL_CHOICE = "model_choice"  # settings chosen on the Models page
KEEP_HISTORY = "keep-history"

# The Caption page: the photos, and what was done with them.
OPENED = "opened"  # key → photo, or what is wrong with the file
HELD = "held"  # keys of the files in the widgets at the last run
SAMPLE = "sample"  # the sample photo that was chosen
EMPTIED = "emptied"  # whether the visitor took the last file away
CLEARINGS = "clearings"  # how often the widgets were made anew
READ_WITH = "looked_with"  # settings of the pipeline that read the photos
DESK = "desk"  # what was done with the posts

# The Batch page.
RUN = "run"  # id of the batch looked at last
RUNS = "runs"  # ids of all batches of this session
BEGUN = "begun"  # how many were begun
KEPT_DRAFTS = "batch-kept"  # number of the last draft of each caption that was kept

# The other pages.
HISTORY_ASKED = "history-wanted"  # what the pages turned so far belong to
HISTORY_BEFORE = "history-before"  # where they began
DASHBOARD_ANSWER = "dashboard-answer"
EXPLORED = "explored"
