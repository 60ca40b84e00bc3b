"""The server that the transcripts were recorded in front of, wherever mcpd is installed.

mcpd serve --app mcpd.replay.fixture:app
"""

import runpy

from mcpd.app.app import App
from mcpd.replay.library import folder

app: App = runpy.run_path(str(folder() / "everything.py"), run_name="mcpd_fixture")["app"]
