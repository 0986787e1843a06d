"""The keys under which pages store values in a visitor's session.

Keys of single widgets are defined at their widgets.
"""

NAVIGATION = "navigation"  # whether the pages are registered with Streamlit
LANGUAGE = "language"
LANGUAGE_CHOSEN = "language-chosen"  # whether the visitor chose it, in this visit
MODEL_CHOICE = "model_choice"  # settings of the engine chosen on the Models page
ENDPOINT_HOSTS = "endpoint-hosts"  # beyond this machine, to which photos may go, and whether encrypted
ENDPOINT_MODELS = "endpoint-models"  # address, the names of its models, and why there are none
PEOPLE_CHOICE = "people_choice"  # how captions speak of people, chosen there
TEXT_CHOICE = "text_choice"  # whether the words in pictures are read, likewise
STORED_CHOICE = "stored_choice"  # whether prompts in files are shown and exported, chosen there
TOLD = "told"  # settings that the instruction on the Caption page comes to
KEEP_HISTORY = "keep-history"

# The Caption page: the photos, and what was done with them.
OPENED = "opened"  # key → photo, or the error of its file
HELD = "held"  # keys of the files in the widgets at the last run
SAMPLE = "sample"  # name of the chosen sample photo
EMPTIED = "emptied"  # whether the visitor removed the last file
CLEARINGS = "clearings"  # how often the widgets were replaced by empty ones
READ_WITH = "looked_with"  # settings of the pipeline that described the photos
WORK = "work"  # on photos, which is under way
DESK = "desk"  # what the visitor did with the posts

# The Batch page.
RUN = "run"  # id of the batch that was shown last
RUNS = "runs"  # ids of all batches of this session
BEGUN = "begun"  # how many batches were started
POSTS_ASKED = "batch-posts-asked"  # id of a batch → the choices of its posts that this session saw last
LARGE = "batch-large"  # name of the picture that is shown large
KEPT_DRAFTS = "batch-kept"  # widget key of a caption → number of its last saved draft

# The other pages.
HISTORY_ASKED = "history-wanted"  # the filters that HISTORY_BEFORE belongs to
HISTORY_BEFORE = "history-before"  # id of the last post on each page before the current one
DASHBOARD_ANSWER = "dashboard-answer"
PROMPT_SETS = "prompt-sets"  # id of an uploaded file → its sets, or the error of the file
EXPLORED = "explored"
