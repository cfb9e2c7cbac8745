"""How the pages of this folder become a site (`make docs`): Sphinx, MyST Markdown, Furo.

Nothing in the built pages calls another host: no fonts, no scripts, no pictures.
"""

import sentiflow

project = "Sentiflow"
author = "the Sentiflow contributors"
copyright = "2026, the Sentiflow contributors, Apache-2.0"
version = release = sentiflow.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
# Anchors as GitHub makes them, where the same pages are read too.
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
# Docstrings are Markdown in this: `code`.
default_role = "code"

html_theme = "furo"
html_title = f"Sentiflow {release}"
html_copy_source = False
html_show_sourcelink = False
