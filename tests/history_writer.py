"""Save posts and say so, one line each: python tests/history_writer.py URL FIRST COUNT"""

import sys

from history_database import make_post

from img2prompt.history import History, open_database

url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
history = History(open_database(url), "local")
for number in range(first, first + count):
    print(history.save(make_post(number)), flush=True)
