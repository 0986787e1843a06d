"""Save posts and say so, one line each: python -m tests.helpers.history_writer URL FIRST COUNT"""

import sys

from img2prompt.history import History, open_database
from tests.helpers.history_database import make_post

url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
history = History(open_database(url), "local")
for number in range(first, first + count):
    print(history.save(make_post(number)), flush=True)
