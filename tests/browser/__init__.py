"""Real notebooks by hand: JupyterLab in Chromium."""
