"""Exit 0 when a URL answers well: the image has no curl.

Usage: check_health.py URL
"""

import sys
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=5).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]} must answer. Received: {error}.")
