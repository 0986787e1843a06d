"""The app: streamlit run app.py"""

from img2prompt.web.shared import navigation

navigation.run()
