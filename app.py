"""The app. Start it with: streamlit run app.py"""

from img2prompt.web.shared import navigation

navigation.run()
