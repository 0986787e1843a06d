"""The app. Start it with: streamlit run app.py"""

import streamlit as st

if __name__ == "__main__":  # a page, each time that a visitor needs it
    from img2prompt.web.shared import navigation

    navigation.run()
else:  # the server, once, when it starts
    from starlette.middleware import Middleware

    from img2prompt.web import server

    app = st.App(__file__, middleware=[Middleware(server.Guard)], lifespan=server.lifespan)
